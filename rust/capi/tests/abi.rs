//! The exported functions, called as C calls them: what they give.

mod support;

use std::ffi::{CStr, CString};
use std::ptr::null_mut;

use perso_core::route::Route;
use perso_core_capi::*;
use support::calls::*;
use support::*;

#[test]
fn statuses_and_version_are_those_of_the_header() {
    let header = include_str!("../include/perso_core.h");
    let listed: Vec<(&str, i32)> = header
        .lines()
        .skip_while(|line| !line.starts_with("enum pc_status_code"))
        .skip(1)
        .take_while(|line| !line.starts_with('}'))
        .filter_map(|line| {
            let (name, rest) = line.trim().strip_prefix("PC_")?.split_once(" = ")?;
            let digits = rest.find(|ch: char| !ch.is_ascii_digit());
            Some((name, rest[..digits.unwrap_or(rest.len())].parse().unwrap()))
        })
        .collect();
    let ours: Vec<(String, i32)> = Status::ALL
        .iter()
        .map(|status| {
            // SAFETY: a static text.
            let name = unsafe { CStr::from_ptr(pc_status_name(*status as i32)) };
            (name.to_str().unwrap().to_uppercase(), *status as i32)
        })
        .collect();
    let listed: Vec<(String, i32)> = listed.iter().map(|(n, s)| (n.to_string(), *s)).collect();
    assert_eq!(ours, listed);
    for number in [-1, ours.len() as i32, i32::MAX, i32::MIN] {
        // SAFETY: a static text.
        let name = unsafe { CStr::from_ptr(pc_status_name(number)) };
        assert_eq!(name, c"unknown");
    }
    assert!(header.contains(&format!("#define PC_ABI_VERSION {ABI_VERSION}\n")));
    for (name, flag) in [
        ("OPEN_MMAP", OPEN_MMAP),
        ("OPEN_IN_PLACE", OPEN_IN_PLACE),
        ("RECORD_PERSONAL", RECORD_PERSONAL),
        ("RECORD_HASHES", RECORD_HASHES),
    ] {
        let define = format!("#define PC_{name} UINT32_C({flag})");
        assert!(header.contains(&define), "{define}");
    }
    assert_eq!(pc_abi_version(), ABI_VERSION);
}

#[test]
fn a_catalog_opens_and_says_what_it_is() {
    let folder = folder();
    let core = int_catalog();
    let path = save(&core, folder.path(), "küche 1.pc");
    for flags in [0, OPEN_MMAP] {
        let catalog = open(&path, flags);
        let (mut len, mut hash) = (0, null_mut());
        // SAFETY: as the header says.
        unsafe {
            succeeds(|error| pc_catalog_len(catalog.0, &mut len, error));
            succeeds(|error| pc_catalog_content_hash(catalog.0, &mut hash, error));
        }
        assert_eq!(len, ITEMS - 1);
        assert_eq!(taken(hash).unwrap(), core.content_hash());
    }
}

/// Other systems refuse to make such a file.
#[cfg(target_os = "linux")]
#[test]
fn a_file_name_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let path = folder
        .path()
        .join(std::ffi::OsStr::from_bytes(b"shop\xff.pc"));
    std::fs::rename(save(&int_catalog(), folder.path(), "shop.pc"), &path).unwrap();
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let mut catalog = null_mut();
    // SAFETY: as the header says.
    succeeds(|error| unsafe { pc_catalog_open(path.as_ptr(), 0, &mut catalog, error) });
    drop(Opened(catalog));
}

#[test]
fn a_search_finds_what_the_core_finds() {
    let catalog = opened_int();
    for k in [1, 10, ITEMS - 1, ITEMS + 50] {
        let (mut ids, mut scores, mut n) = (vec![i64::MIN; k], vec![f32::NAN; k], 77);
        // SAFETY: as the header says.
        succeeds(|error| unsafe {
            pc_catalog_search(
                catalog.0,
                c"content".as_ptr(),
                CONTENT.as_ptr(),
                CONTENT_DIM,
                k,
                ids.as_mut_ptr(),
                scores.as_mut_ptr(),
                &mut n,
                error,
            )
        });
        assert_eq!(n, k.min(ITEMS - 1));
        let found: Vec<(i64, u32)> = (0..n).map(|i| (ids[i], scores[i].to_bits())).collect();
        assert_eq!(found, hits_of_core(&int_catalog(), k));
        assert!(ids[n..].iter().all(|id| *id == i64::MIN));
        assert!(scores[n..].iter().all(|score| score.is_nan()));
    }
}

#[test]
fn a_ranking_has_the_record_of_the_core_and_replays() {
    let catalog = opened_int();
    let expected = record_of_core(&int_catalog());
    let made = record(&catalog, &request_json(), POLICY);
    assert_eq!(made, expected);

    let mut out = null_mut();
    let record = c(&made);
    // SAFETY: as the header says.
    succeeds(|error| unsafe { pc_replay(catalog.0, record.as_ptr(), &mut out, error) });
    assert_eq!(taken(out).unwrap(), expected);
}

#[test]
fn a_request_may_leave_out_what_is_optional() {
    let catalog = opened_int();
    let bare = r#"{"k": 3, "at": 0, "seed": 1, "request_id": ""}"#;
    let nulls = r#"{"k": 3, "at": 0, "seed": 1, "request_id": "",
                    "user": null, "exclude": null, "where": null}"#;
    let record = record(&catalog, bare, POPULAR);
    assert_eq!(record, self::record(&catalog, nulls, POPULAR));
    let value: serde_json::Value = serde_json::from_str(&record).unwrap();
    let scores = value["choices"].as_array().unwrap().iter();
    let scores: Vec<f64> = scores
        .map(|choice| choice["score"].as_f64().unwrap())
        .collect();
    // 37 i mod 101 is 100 for items 30 and 131, and 99 for 60 and 161.
    assert_eq!(scores, [100.0, 100.0, 99.0]);

    let nothing = r#"{"k": 3, "at": 0, "seed": 1, "request_id": "", "where": []}"#;
    let short: serde_json::Value =
        serde_json::from_str(&self::record(&catalog, nothing, POPULAR)).unwrap();
    assert!(short["choices"].as_array().unwrap().is_empty());
    assert!(short["short_reason"].is_string());
}

#[test]
fn k_has_no_upper_end() {
    let catalog = opened_int();
    let similar = POLICY
        .replace("\"candidates\": 60,", "")
        .replace("\"caps\": {\"genre\": 3},", "");
    let request = request_json().replace("\"k\": 10", "\"k\": 18446744073709551615");
    let nobody =
        r#"{"k": 18446744073709551615, "at": 0, "seed": 1, "request_id": "", "user": null}"#;
    let eligible = only().iter().filter(|id| !excluded().contains(id)).count();
    for (request, policy, expected) in [
        (&*request, &*similar, eligible),
        (nobody, POPULAR, ITEMS - 1),
    ] {
        let value: serde_json::Value =
            serde_json::from_str(&record(&catalog, request, policy)).unwrap();
        assert_eq!(value["choices"].as_array().unwrap().len(), expected);
    }
}

#[test]
fn vectors_arrive_to_the_bit() {
    // Decimals that name a float exactly, and one that a double rounds onto the middle between two
    // floats, from where the way to the nearest one is lost.
    let catalog = opened_int();
    let middle = "1.00000017881393432617187499";
    let nearest = 1.0000001f32;
    assert_eq!(middle.parse::<f32>().unwrap().to_bits(), nearest.to_bits());
    assert_ne!(
        (middle.parse::<f64>().unwrap() as f32).to_bits(),
        nearest.to_bits()
    );
    let request = |first: &str| {
        format!(
            r#"{{"k": 5, "at": 0, "seed": 1, "request_id": "r",
                 "user": {{"cf": [{first}, 1e-45, 3.4028235e18, -0.0],
                           "content": {CONTENT:?}}}}}"#
        )
    };
    let policy = POLICY.replace("\"weight\": 0.5", "\"weight\": 0.0");
    let exact = record(&catalog, &request(&format!("{nearest:?}")), &policy);
    assert_eq!(record(&catalog, &request(middle), &policy), exact);
    let value: serde_json::Value = serde_json::from_str(&exact).unwrap();
    assert_eq!(value["user"]["cf"][0].as_f64(), Some(1.0000001));
}

#[test]
fn a_route_is_that_of_the_core_and_goes_into_the_record() {
    let situation = r#"{"inputs": {"battery": 0.1, "network": "wifi"}}"#;
    let mut out = null_mut();
    let text = c(situation);
    // SAFETY: as the header says.
    succeeds(|error| unsafe { pc_route(text.as_ptr(), &mut out, error) });
    let route = taken(out).unwrap();
    assert_eq!(route, perso_core::route::decide_json(situation).unwrap());

    let catalog = opened_int();
    let request = format!(r#"{{"k": 3, "at": 0, "seed": 1, "request_id": "", "route": {route}}}"#);
    let record: serde_json::Value =
        serde_json::from_str(&record(&catalog, &request, POPULAR)).unwrap();
    let parsed = Route::parse(&route).unwrap();
    assert_eq!(Route::parse(&record["route"].to_string()).unwrap(), parsed);
    let route: serde_json::Value = serde_json::from_str(&route).unwrap();
    // One that does not follow from its inputs is nobody's decision.
    let other = match route["where"].as_str() {
        Some("server") => "device",
        _ => "server",
    };
    let forged = request.replace(
        &format!(r#""where":{}"#, route["where"]),
        &format!(r#""where":"{other}""#),
    );
    assert_ne!(forged, request);
    rank_fails(
        &catalog,
        Status::InvalidValue,
        "route: expected what follows from its inputs",
        &forged,
        POPULAR,
    );
}
