//! The exported functions, called as C calls them: what they refuse, and with which status and message.

mod support;

use std::ffi::c_char;
use std::path::Path;
use std::ptr::{null, null_mut};

use perso_core_capi::*;
use support::calls::Opened;
use support::calls::*;
use support::*;

#[test]
fn files_that_cannot_be_opened_are_refused() {
    let folder = folder();
    let path = save(&int_catalog(), folder.path(), "shop.pc");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    let damaged = folder.path().join("damaged.pc");
    std::fs::write(&damaged, bytes).unwrap();

    let refused = |status, message: &str, path: &Path, flags| {
        let path = c(path.to_str().unwrap());
        let mut out = std::ptr::dangling_mut::<PcCatalog>();
        fails(status, message, |error| {
            // SAFETY: as the header says; what `out` held is only overwritten.
            unsafe { pc_catalog_open(path.as_ptr(), flags, &mut out, error) }
        });
        assert!(out.is_null());
    };
    refused(Status::Io, "", &folder.path().join("none.pc"), 0);
    refused(Status::Format, "", &damaged, 0);
    refused(Status::Format, "", &damaged, OPEN_MMAP);
    refused(
        Status::InvalidValue,
        "flags: expected 0 or PC_OPEN_MMAP, got 0x6",
        &path,
        6,
    );
}

#[test]
fn a_search_that_cannot_be_is_refused_and_writes_nothing() {
    let catalog = opened_int();
    let (mut ids, mut scores, mut n) = ([5i64; 4], [5f32; 4], 77usize);
    let (ids, scores, n) = (ids.as_mut_ptr(), scores.as_mut_ptr(), &raw mut n);
    let space = c"content".as_ptr();
    let query = CONTENT.as_ptr();
    let nan = [f32::NAN; CONTENT_DIM];
    let search = pc_catalog_search;
    use Status::{InvalidValue, Missing, NullArgument};
    // SAFETY: as the header says, with null where it is refused.
    unsafe {
        fails(NullArgument, "catalog: expected a pointer, got NULL", |e| {
            search(null(), space, query, CONTENT_DIM, 4, ids, scores, n, e)
        });
        assert_eq!(*n, 0);
        fails(NullArgument, "space", |e| {
            search(catalog.0, null(), query, CONTENT_DIM, 4, ids, scores, n, e)
        });
        fails(NullArgument, "query", |e| {
            search(catalog.0, space, null(), CONTENT_DIM, 4, ids, scores, n, e)
        });
        fails(NullArgument, "ids_out", |e| {
            search(
                catalog.0,
                space,
                query,
                CONTENT_DIM,
                4,
                null_mut(),
                scores,
                n,
                e,
            )
        });
        fails(NullArgument, "scores_out", |e| {
            search(
                catalog.0,
                space,
                query,
                CONTENT_DIM,
                4,
                ids,
                null_mut(),
                n,
                e,
            )
        });
        fails(NullArgument, "n_out", |e| {
            search(
                catalog.0,
                space,
                query,
                CONTENT_DIM,
                4,
                ids,
                scores,
                null_mut(),
                e,
            )
        });
        fails(Missing, "no such space: \"style\"", |e| {
            search(
                catalog.0,
                c"style".as_ptr(),
                query,
                CONTENT_DIM,
                4,
                ids,
                scores,
                n,
                e,
            )
        });
        fails(InvalidValue, "space: expected text in UTF-8", |e| {
            search(
                catalog.0,
                c"\xff".as_ptr(),
                query,
                CONTENT_DIM,
                4,
                ids,
                scores,
                n,
                e,
            )
        });
        for dim in [0, CONTENT_DIM - 1, 2 * CONTENT_DIM, usize::MAX] {
            let message =
                format!("dim: expected 8, the components of space \"content\", got {dim}");
            fails(InvalidValue, &message, |e| {
                search(catalog.0, space, query, dim, 4, ids, scores, n, e)
            });
        }
        fails(InvalidValue, "k: expected at least 1", |e| {
            search(catalog.0, space, query, CONTENT_DIM, 0, ids, scores, n, e)
        });
        fails(InvalidValue, "finite numbers, got NaN", |e| {
            search(
                catalog.0,
                space,
                nan.as_ptr(),
                CONTENT_DIM,
                4,
                ids,
                scores,
                n,
                e,
            )
        });
        assert_eq!(*n, 0);
        assert_eq!(std::slice::from_raw_parts(ids, 4), [5; 4]);
        assert_eq!(std::slice::from_raw_parts(scores, 4), [5.0; 4]);
        // Without a place for the message the status is the same.
        let status = search(catalog.0, space, query, 1, 4, ids, scores, n, null_mut());
        assert_eq!(status, InvalidValue);
    }
}

#[test]
fn text_ids_have_no_place_in_a_search_but_rank() {
    let folder = folder();
    let catalog = open(&save(&text_catalog(), folder.path(), "texts.pc"), OPEN_MMAP);
    let (mut ids, mut scores, mut n) = ([5i64; 4], [5f32; 4], 77usize);
    // SAFETY: as the header says.
    fails(Status::TextIds, "the catalog's ids are text", |e| unsafe {
        pc_catalog_search(
            catalog.0,
            c"content".as_ptr(),
            CONTENT.as_ptr(),
            CONTENT_DIM,
            4,
            ids.as_mut_ptr(),
            scores.as_mut_ptr(),
            &mut n,
            e,
        )
    });
    assert_eq!((ids, scores, n), ([5; 4], [5.0; 4], 0));

    let request = r#"{"k": 2, "at": 0, "seed": 1, "request_id": "r",
                      "where": ["sku-1", "sku-2", "sku-3"], "exclude": ["sku-2", "sold out"]}"#;
    let record = record(&catalog, request, POPULAR);
    // Popularity is 37 i mod 101: 37 for item 1, 10 for item 3.
    let value: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(value["choices"][0]["id"], "sku-1");
    assert_eq!(value["choices"][1]["id"], "sku-3");
    let request = r#"{"k": 2, "at": 0, "seed": 1, "request_id": "r",
                      "where": {"range": ["popularity", {"from": 99.5}]}}"#;
    let record = self::record(&catalog, request, POPULAR);
    let value: serde_json::Value = serde_json::from_str(&record).unwrap();
    for choice in value["choices"].as_array().unwrap() {
        let id = choice["id"].as_str().unwrap();
        let i: u64 = id.strip_prefix("sku-").unwrap().parse().unwrap();
        assert!(37 * i % 101 >= 100, "{id}");
    }
    rank_fails(
        &catalog,
        Status::WrongType,
        "exclude: expected str ids, as the items have, got int ids",
        r#"{"k": 2, "at": 0, "seed": 1, "request_id": "r", "exclude": [1]}"#,
        POPULAR,
    );
}

#[test]
fn requests_and_policies_that_cannot_be_are_refused() {
    let catalog = opened_int();
    use Status::{InvalidValue, Missing, WrongType};
    let refused = |status, message: &str, request: &str| {
        rank_fails(&catalog, status, message, request, POLICY);
    };
    let with =
        |fields: &str| format!(r#"{{"k": 3, "at": 0, "seed": 1, "request_id": "r", {fields}}}"#);
    refused(InvalidValue, "request_json: expected a JSON object", "");
    refused(InvalidValue, "request_json", "[]");
    refused(
        InvalidValue,
        "missing field `at`",
        r#"{"k": 3, "seed": 1, "request_id": "r"}"#,
    );
    refused(
        InvalidValue,
        "missing field `seed`",
        r#"{"k": 3, "at": 1, "request_id": "r"}"#,
    );
    refused(
        InvalidValue,
        "missing field `request_id`",
        r#"{"k": 3, "at": 1, "seed": 1}"#,
    );
    refused(
        InvalidValue,
        "missing field `k`",
        r#"{"seed": 3, "at": 1, "request_id": "r"}"#,
    );
    refused(
        InvalidValue,
        "unknown field `wheer`",
        &with(r#""wheer": [1]"#),
    );
    refused(InvalidValue, "duplicate field `k`", &with(r#""k": 3"#));
    refused(
        InvalidValue,
        "64-bit integers or all texts",
        &with(r#""where": 3"#),
    );
    refused(
        InvalidValue,
        "both integers and texts",
        &with(r#""where": [3, "a"]"#),
    );
    refused(
        InvalidValue,
        "both integers and texts",
        &with(r#""where": ["a", 3]"#),
    );
    refused(
        InvalidValue,
        "a 64-bit integer or a text",
        &with(r#""where": [1.5]"#),
    );
    refused(
        InvalidValue,
        "more than 2^63 - 1",
        &with(r#""exclude": [9223372036854775808]"#),
    );
    refused(Missing, "no such id: 4", &with(r#""where": [4]"#));
    refused(
        Missing,
        "no such attribute: \"none\"",
        &with(r#""where": {"null": "none"}"#),
    );
    refused(
        InvalidValue,
        "unknown variant `nil`",
        &with(r#""where": {"nil": "none"}"#),
    );
    refused(
        InvalidValue,
        "where: expected one or more filters",
        &with(r#""where": {"and": []}"#),
    );
    refused(
        WrongType,
        "where: expected int ids",
        &with(r#""where": ["a"]"#),
    );
    refused(
        InvalidValue,
        "user: expected a vector per space",
        &with(r#""user": {}"#),
    );
    refused(
        Missing,
        "no such space: \"style\"",
        &with(r#""user": {"style": [1]}"#),
    );
    refused(
        InvalidValue,
        "user[\"cf\"]: expected 4 components, got 1",
        &with(r#""user": {"cf": [1]}"#),
    );
    refused(
        InvalidValue,
        "number out of range",
        &with(r#""user": {"cf": [1, 2, 3, 1e39]}"#),
    );
    refused(
        InvalidValue,
        "user: expected each space once",
        &with(r#""user": {"cf": [1, 2, 3, 4], "cf": [1, 2, 3, 4]}"#),
    );
    let brought = [
        (
            r#""pins": [{"slot": 0, "id": 1}, {"slot": 0, "id": 2}]"#,
            "pins: expected each slot once, got 0 twice",
        ),
        (r#""pins": [{"slot": -1, "id": 1}]"#, "request_json"),
        (r#""pins": {"0": 1}"#, "request_json"),
        (
            r#""target": {"a": 1, "a": 2}"#,
            "target: expected each value once, got \"a\" twice",
        ),
        (r#""target": {"a": 1}"#, "target: expected"),
        (r#""allow": {"profil": true}"#, "unknown field `profil`"),
        (r#""allow": {"profile": 1}"#, "request_json"),
        (
            r#""signals": {"s": {"ids": [1]}}"#,
            "missing field `values`",
        ),
        (
            r#""signals": {"s": [1], "s": [2]}"#,
            "199 numbers, one per item, got 1",
        ),
        (r#""signals": {"s": "x"}"#, "a list of numbers or null"),
        (
            r#""lists": {"l": {"ids": [1, 2], "scores": [1]}}"#,
            "2 scores, one per id, got 1",
        ),
        (
            r#""lists": {"l": 3}"#,
            "a list of ids, or an object with ids and scores",
        ),
        (
            r#""user": {"cf": {"vectors": [[1, 2, 3, 4]], "combine": "min"}}"#,
            "combine: expected \"max\" or \"mean\", got \"min\"",
        ),
        (r#""user": {"cf": {"vectors": []}}"#, "at least one vector"),
        (r#""user": [1, 2]"#, "one vector without a space"),
        (r#""user": "me""#, "a list of numbers, or an object"),
    ];
    for (fields, message) in brought {
        refused(InvalidValue, message, &with(fields));
    }
    let zero = with("\"user\": null").replace("\"k\": 3", "\"k\": 0");
    refused(InvalidValue, "k: expected at least 1, got 0", &zero);

    let fine = with("\"user\": null");
    rank_fails(&catalog, InvalidValue, "policy: expected", &fine, "{}");
    let foreign = POPULAR.replace("popularity", "price");
    rank_fails(&catalog, Missing, "price", &fine, &foreign);
}

#[test]
fn null_is_refused_by_every_function() {
    let catalog = opened_int();
    let (text, mut out, mut len, mut handle) = (c"{}".as_ptr(), null_mut(), 0usize, null_mut());
    let null_fails = |argument: &str, call: &mut dyn FnMut(*mut *mut c_char) -> Status| {
        let message = format!("{argument}: expected a pointer, got NULL");
        fails(Status::NullArgument, &message, call);
    };
    // SAFETY: null is what is tested; the rest is as the header says.
    unsafe {
        null_fails("path", &mut |e| pc_catalog_open(null(), 0, &mut handle, e));
        null_fails("out", &mut |e| pc_catalog_open(text, 0, null_mut(), e));
        null_fails("catalog", &mut |e| pc_catalog_len(null(), &mut len, e));
        null_fails("out", &mut |e| pc_catalog_len(catalog.0, null_mut(), e));
        null_fails("catalog", &mut |e| {
            pc_catalog_content_hash(null(), &mut out, e)
        });
        null_fails("out", &mut |e| {
            pc_catalog_content_hash(catalog.0, null_mut(), e)
        });
        null_fails("catalog", &mut |e| pc_rank(null(), text, text, &mut out, e));
        null_fails("request_json", &mut |e| {
            pc_rank(catalog.0, null(), text, &mut out, e)
        });
        null_fails("policy_json", &mut |e| {
            pc_rank(catalog.0, text, null(), &mut out, e)
        });
        null_fails("record_json_out", &mut |e| {
            pc_rank(catalog.0, text, text, null_mut(), e)
        });
        null_fails("catalog", &mut |e| pc_replay(null(), text, &mut out, e));
        null_fails("record_json", &mut |e| {
            pc_replay(catalog.0, null(), &mut out, e)
        });
        null_fails("record_json_out", &mut |e| {
            pc_replay(catalog.0, text, null_mut(), e)
        });
        null_fails("situation_json", &mut |e| pc_route(null(), &mut out, e));
        null_fails("route_json_out", &mut |e| pc_route(text, null_mut(), e));
        pc_string_free(null_mut());
        pc_catalog_free(null_mut());
    }
}

#[test]
fn a_record_that_does_not_fit_is_refused() {
    let catalog = opened_int();
    let made = record(&catalog, &request_json(), POLICY);
    let replay_fails = |catalog: &Opened, message: &str, record: &str| {
        let record = c(record);
        let mut out = c"stale".as_ptr().cast_mut();
        fails(Status::Replay, message, |error| {
            // SAFETY: as the header says; what `out` held is only overwritten.
            unsafe { pc_replay(catalog.0, record.as_ptr(), &mut out, error) }
        });
        assert!(out.is_null());
    };
    replay_fails(&catalog, "no perso_core.record/1 document", "{");
    let changed = made.replacen("\"k\":10", "\"k\":11", 1);
    assert_ne!(changed, made);
    replay_fails(&catalog, "does not match its digest", &changed);

    let folder = folder();
    let mut other = int_catalog();
    let gone = perso_core::ids::Ids::Int(vec![id(1)]);
    other.remove(&gone).unwrap();
    let other = open(&save(&other, folder.path(), "other.pc"), 0);
    replay_fails(&other, "the catalog's content has changed", &made);
}
