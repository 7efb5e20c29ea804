//! Programs in C, compiled by each compiler at hand, linked in each way, and run plainly, under sanitizers and under
//! valgrind, get from the library what the core gives to Rust.

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use perso_core::capsule::{pack, Capsule, Packing, PrivateKey, KEY_BYTES};
use perso_core::catalog::Catalog;
use perso_core::ids::{Id, IdMap, Ids};
use perso_core::metric::Dtype;
use perso_core::profile::{Plan, Profile};
use perso_core::rank::{
    self, Eligibility, Policy, Request, Signals, Slate, Source, UserVectors, Where,
};
use support::build::*;
use support::*;

/// How a program is built and run.
#[derive(Clone, Copy, Debug)]
enum Way {
    Dynamic,
    Static,
    /// AddressSanitizer with its leak check, and UndefinedBehaviorSanitizer.
    Sanitized,
    Valgrind,
}

const SANITIZERS: [&str; 4] = [
    "-g",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
];

/// Compiles a program and gives the command that runs it; `None`, having said why, where a tool is not there.
fn build(compiler: &str, source: &str, folder: &Path, way: Way) -> Option<Command> {
    if !has(compiler) {
        skip(&format!(
            "there is no `{compiler}`, so {source} was not built with it"
        ));
        return None;
    }
    if matches!(way, Way::Valgrind) && !has("valgrind") {
        skip(&format!(
            "there is no `valgrind`, so {source} was not run under it"
        ));
        return None;
    }
    let program = folder.join(format!("{source}-{compiler}-{way:?}"));
    let mut command = compile(compiler, source, &program);
    match way {
        Way::Dynamic => link_dynamic(&mut command),
        Way::Static | Way::Valgrind => {
            command.arg("-g");
            if !link_static(&mut command) {
                return None;
            }
        }
        Way::Sanitized => {
            command.args(SANITIZERS);
            if !sanitizes(compiler, folder) || !link_static(&mut command) {
                skip(&format!(
                    "`{compiler}` has no sanitizers here, so {source} was not run under them"
                ));
                return None;
            }
        }
    }
    run(&mut command);
    if !matches!(way, Way::Valgrind) {
        return Some(started(&program));
    }
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--quiet", "--error-exitcode=9", "--leak-check=full"])
        .args([
            "--show-leak-kinds=definite,indirect",
            "--errors-for-leak-kinds=definite,indirect",
        ])
        .arg(program);
    Some(valgrind)
}

/// Whether a program with sanitizers can be linked and run: their run-time is a package of its own.
fn sanitizes(compiler: &str, folder: &Path) -> bool {
    let source = folder.join("empty.c");
    fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let program = folder.join(format!("empty-{compiler}"));
    let mut command = Command::new(compiler);
    command.args(SANITIZERS).arg(source).arg("-o").arg(&program);
    let linked = command.output().is_ok_and(|output| output.status.success());
    let ran = Command::new(&program).output();
    linked && ran.is_ok_and(|output| output.status.success())
}

/// The files that the programs are given.
struct Files<'a> {
    folder: &'a Path,
    core: Catalog,
}

impl Files<'_> {
    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap()
    }
}

fn roundtrip(compiler: &str, way: Way) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(mut program) = build(compiler, "roundtrip.c", folder, way) else {
        return;
    };
    let files = Files {
        folder,
        core: int_catalog(),
    };
    let core = &files.core;
    let catalog = save(core, folder, "shop.pc");
    let mut bytes = fs::read(&catalog).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let printed = run(program.args([
        &catalog,
        &save(&text_catalog(), folder, "texts.pc"),
        &files.write("damaged.pc", &bytes),
        &files.write("request.json", request_json().as_bytes()),
        &files.write("policy.json", POLICY.as_bytes()),
        &folder.join("record.json"),
        &folder.join("replayed.json"),
    ]));

    let mut described = format!("hash {}\nlen {}\n", core.content_hash(), core.len());
    for (id, bits) in hits_of_core(core, 7) {
        writeln!(described, "hit {id} {bits:08x}").unwrap();
    }
    // Once from the file as read, once from the file as mapped.
    assert_eq!(printed, described.repeat(2));
    let expected = record_of_core(core);
    assert_eq!(files.read("record.json"), expected);
    assert_eq!(files.read("replayed.json"), expected);
}

const PLAN: &str = r#"{"schema": "perso_core.profile/1", "space": "cf", "kinds": {"click": 1.0, "skip": -0.5},
    "half_life_us": 1800000000, "prior_strength": 2.0, "short_weight": 0.5}"#;

/// What `slates.c` lets the profile see.
fn learned(core: &Catalog) -> Profile {
    let plan = Arc::new(Plan::parse(PLAN).unwrap());
    let mut profile = Profile::new(plan, CF_DIM, None).unwrap();
    let vector = |i: usize| {
        let row = core.id_map().require_all(&Ids::Int(vec![id(i)])).unwrap()[0];
        let mut vector = [0.0; CF_DIM];
        let cf = core.space("cf").unwrap();
        core.vectors(cf).get(row, &mut vector);
        vector
    };
    for (item, kind, before) in [
        (vector(7), "click", 5_000_000),
        (vector(30), "skip", 4_000_000),
        ([0.25, -1.0, 0.5, 2.0], "click", 9_000_000),
        (vector(44), "click", 1_000_000),
    ] {
        profile.observe(&item, kind, AT - before).unwrap();
    }
    profile
}

/// The request of `slates.c`.
fn request_for(profile: &Profile, ids: &IdMap) -> Request {
    Request {
        user: Some(vec![
            ("content".into(), CONTENT.to_vec().into()),
            ("cf".into(), profile.vector(AT).unwrap().into()),
        ]),
        k: 10,
        eligible: Eligibility::all(ids),
        signals: Arc::new(Signals::new()),
        at: AT,
        seed: SEED,
        request_id: "küche-2".into(),
        target: None,
        pins: Default::default(),
        allow: None,
        budget_us: None,
        route: None,
    }
}

fn slate_of_core(core: &Catalog, profile: &Profile) -> Slate {
    let request = request_for(profile, core.id_map());
    let policy = Arc::new(Policy::parse(POLICY).unwrap());
    rank::rank(core, &policy, &request).unwrap()
}

/// What `slates.c` prints of a slate.
fn described(slate: &Slate) -> String {
    let Ids::Int(ids) = &slate.ids else {
        panic!("the catalog has integer ids")
    };
    let mut out = String::new();
    for (id, reason) in ids.iter().zip(slate.reasons()) {
        writeln!(out, "{id}: {reason}").unwrap();
    }
    let mut line = |name: &str, numbers: &[f64]| {
        write!(out, "{name}").unwrap();
        for x in numbers {
            write!(out, " {:016x}", x.to_bits()).unwrap();
        }
        out.push('\n');
    };
    for name in &slate.term_names {
        line(name, &slate.term(name).unwrap());
    }
    line("scores", &slate.scores);
    line("propensities", &slate.propensities());
    out += "explored";
    for explored in slate.explored() {
        write!(out, " {}", u8::from(explored)).unwrap();
    }
    out + &format!("\npath {}\nshort \n", slate.path.as_str())
}

fn slates(compiler: &str, way: Way) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(mut program) = build(compiler, "slates.c", folder, way) else {
        return;
    };
    let files = Files {
        folder,
        core: int_catalog(),
    };
    let request = format!(
        r#"{{"k": 10, "at": {AT}, "seed": {SEED}, "request_id": "küche-2",
             "user": {{"content": {CONTENT:?}}}}}"#
    );
    let printed = run(program.args([
        &save(&files.core, folder, "shop.pc"),
        &save(&text_catalog(), folder, "texts.pc"),
        &files.write("plan.json", PLAN.as_bytes()),
        &files.write("request.json", request.as_bytes()),
        &files.write("policy.json", POLICY.as_bytes()),
        folder,
    ]));
    let profile = learned(&files.core);
    let slate = slate_of_core(&files.core, &profile);
    assert_eq!(printed, described(&slate));
    assert_eq!(
        fs::read(folder.join("profile.bin")).unwrap(),
        profile.to_bytes()
    );
    for (name, user) in [
        ("record.json", UserVectors::Included),
        ("hashes.json", UserVectors::Hashed),
        ("withheld.json", UserVectors::Withheld),
    ] {
        let expected = rank::record_json(&slate, &files.core, user).unwrap();
        assert_eq!(files.read(name), expected);
    }
}

fn capsules(compiler: &str, way: Way) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let Some(mut program) = build(compiler, "capsule.c", folder, way) else {
        return;
    };
    let files = Files {
        folder,
        core: int_catalog(),
    };
    let key = PrivateKey::new(&[7; KEY_BYTES]).unwrap();
    let policy = Arc::new(Policy::parse(POLICY).unwrap());
    let plan = Plan::parse(PLAN).unwrap();
    let ids: Vec<i64> = (20..160).map(id).collect();
    let packing = Packing {
        ids: &Ids::Int(ids.clone()),
        spaces: None,
        dtype: Dtype::I8,
        attributes: &[],
        signals: &[],
        plan: Some(&plan),
        made_at: AT - 60_000_000,
        expires_at: AT + 3_600_000_000,
    };
    let bytes = pack(&files.core, &policy, &packing, &key).unwrap();
    let other = PrivateKey::new(&[8; KEY_BYTES]).unwrap();
    let keys = [other.public().to_bytes(), key.public().to_bytes()].concat();
    let request = format!(
        r#"{{"k": 10, "at": {AT}, "seed": {SEED}, "request_id": "küche-3",
             "user": {{"content": {CONTENT:?}}}, "exclude": [{}]}}"#,
        ids[5]
    );
    let printed = run(program
        .arg(files.write("feed.capsule", &bytes))
        .arg(files.write("keys.bin", &keys))
        .arg(AT.to_string())
        .arg(files.write("request.json", request.as_bytes()))
        .arg(folder));

    let capsule = Capsule::open(&bytes, &[key.public()], AT).unwrap();
    let mut profile = Profile::new(Arc::new(plan.clone()), CF_DIM, None).unwrap();
    for (i, kind, before) in [(3, "click", 2_000_000), (17, "skip", 1_000_000)] {
        let vector = capsule.vector(&Id::Int(ids[i]), "cf").unwrap();
        profile.observe(&vector, kind, AT - before).unwrap();
    }
    assert_eq!(
        fs::read(folder.join("profile.bin")).unwrap(),
        profile.to_bytes()
    );
    let exclude = Ids::Int(vec![ids[5]]);
    let request = Request {
        request_id: "küche-3".into(),
        eligible: Eligibility::new(capsule.id_map(), Where::All, Some(&exclude)).unwrap(),
        ..request_for(&profile, capsule.id_map())
    };
    let slate = capsule.rank(&request).unwrap();
    let from = capsule.provenance();
    let says = format!(
        "first {} last {}\ngeneration {} made {} expires {}\nhash {}\ncontent {}\nkey {}\nlibrary {}\npolicy {}\n\
         plan {}\n",
        ids[0],
        ids[ids.len() - 1],
        files.core.generation(),
        packing.made_at,
        packing.expires_at,
        capsule.hash(),
        files.core.content_hash(),
        key.public().id(),
        from.library,
        policy.canonical_json(),
        profile.plan().canonical_json(),
    );
    assert_eq!(printed, says + &described(&slate));
    for (name, user) in [
        ("record.json", UserVectors::Included),
        ("withheld.json", UserVectors::Withheld),
    ] {
        assert_eq!(files.read(name), capsule.record(&slate, user).unwrap());
    }
}

/// Each program, and what is expected of it.
fn all(compiler: &str, way: Way) {
    roundtrip(compiler, way);
    slates(compiler, way);
    capsules(compiler, way);
}

#[test]
fn gcc_dynamic() {
    all("gcc", Way::Dynamic);
}

#[test]
fn gcc_static() {
    all("gcc", Way::Static);
}

#[test]
fn gcc_sanitized() {
    all("gcc", Way::Sanitized);
}

#[test]
fn clang_dynamic() {
    all("clang", Way::Dynamic);
}

#[test]
fn clang_static() {
    all("clang", Way::Static);
}

#[test]
fn clang_sanitized() {
    all("clang", Way::Sanitized);
}

#[test]
fn valgrind() {
    all("gcc", Way::Valgrind);
}

#[test]
fn memory_that_cannot_be_had_is_a_status() {
    let folder = tempfile::tempdir().unwrap();
    if let Some(mut program) = build("gcc", "memory.c", folder.path(), Way::Static) {
        let output = program.output().unwrap();
        if output.status.code() == Some(77) {
            return skip("the address space of a process cannot be limited here");
        }
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
    }
}
