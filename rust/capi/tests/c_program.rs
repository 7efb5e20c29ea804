//! A program in C, compiled and linked here, gets from the library what the core gives to Rust.

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::*;

/// The folder of the libraries that this test was built beside: cargo puts all kinds of the crate's
/// library there before it runs a test of the crate.
fn libraries() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().to_owned()
}

/// What a static library needs of the system, where that is known.
fn static_library() -> Option<(PathBuf, &'static [&'static str])> {
    let needs: &[&str] = if cfg!(all(target_os = "linux", target_env = "gnu")) {
        &["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"]
    } else if cfg!(target_os = "macos") {
        &["-lc", "-lm"]
    } else {
        return None;
    };
    Some((libraries().join("libperso_core_capi.a"), needs))
}

fn compiler() -> Option<Command> {
    let found = Command::new("cc").arg("--version").output().is_ok();
    if !found {
        // Written to the stream itself, because the test harness swallows what a passing test prints.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: there is no C compiler `cc` on PATH, so the C program was not built"
        );
    }
    found.then(|| Command::new("cc"))
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(
        output.status.success(),
        "{command:?}: {}\n{out}\n{err}",
        output.status
    );
    out
}

/// Has the compiler make the C program, with warnings as errors; what to link it with is to follow.
fn compile(compiler: &mut Command, program: &Path) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    compiler
        .args([
            "-std=c99",
            "-pedantic",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pthread",
        ])
        .arg("-I")
        .arg(here.join("include"))
        .arg(here.join("ctest/roundtrip.c"))
        .arg("-o")
        .arg(program);
}

fn gets_what_the_core_gives(program: &Path, folder: &Path) {
    let core = int_catalog();
    let catalog = save(&core, folder, "shop.pc");
    let mut bytes = fs::read(&catalog).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let write = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let (record, replayed) = (folder.join("record.json"), folder.join("replayed.json"));
    let printed = run(Command::new(program).args([
        &catalog,
        &save(&text_catalog(), folder, "texts.pc"),
        &write("damaged.pc", &bytes),
        &write("request.json", request_json().as_bytes()),
        &write("policy.json", POLICY.as_bytes()),
        &record,
        &replayed,
    ]));

    let mut described = format!("hash {}\nlen {}\n", core.content_hash(), core.len());
    for (id, bits) in hits_of_core(&core, 7) {
        described += &format!("hit {id} {bits:08x}\n");
    }
    // Once from the file as read, once from the file as mapped.
    assert_eq!(printed, described.repeat(2));
    let expected = record_of_core(&core);
    assert_eq!(fs::read_to_string(record).unwrap(), expected);
    assert_eq!(fs::read_to_string(replayed).unwrap(), expected);
}

#[test]
fn linked_with_the_dynamic_library() {
    let Some(mut compiler) = compiler() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("dynamic");
    compile(&mut compiler, &program);
    let libraries = libraries();
    compiler
        .arg("-L")
        .arg(&libraries)
        .arg("-lperso_core_capi")
        .arg("-Xlinker")
        .arg("-rpath")
        .arg("-Xlinker")
        .arg(&libraries);
    run(&mut compiler);
    gets_what_the_core_gives(&program, folder.path());
}

#[test]
fn linked_with_the_static_library() {
    let (Some((library, needs)), Some(mut compiler)) = (static_library(), compiler()) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("static");
    compile(&mut compiler, &program);
    compiler.arg(&library).args(needs);
    run(&mut compiler);
    gets_what_the_core_gives(&program, folder.path());
}
