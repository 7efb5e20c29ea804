//! The header against the library: every function that one has, the other has, and C and C++ take the header alike.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use support::build::*;

const HEADER: &str = include_str!("../include/perso_core.h");

/// What the header declares: `pc_name(` outside of comments.
fn declared() -> BTreeSet<String> {
    let mut code = String::new();
    let mut rest = HEADER;
    while let Some((before, comment)) = rest.split_once("/*") {
        code += before;
        rest = comment.split_once("*/").unwrap().1;
    }
    code += rest;
    let names = code.match_indices("pc_").filter_map(|(at, _)| {
        let name = &code[at..];
        let end = name.find(|ch: char| !ch.is_ascii_lowercase() && ch != '_')?;
        let first = code[..at].chars().next_back().unwrap();
        let whole = !first.is_alphanumeric() && first != '_';
        (whole && name[end..].starts_with('(')).then(|| name[..end].to_owned())
    });
    names.collect()
}

/// What the sources export.
fn exported() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/entry");
    let mut names = BTreeSet::new();
    for file in fs::read_dir(folder).unwrap() {
        let source = fs::read_to_string(file.unwrap().path()).unwrap();
        for (at, attribute) in source.match_indices("#[unsafe(no_mangle)]") {
            let rest = &source[at + attribute.len()..];
            let name = rest.split_once(" extern \"C\" fn ").unwrap().1;
            names.insert(name.split_once('(').unwrap().0.to_owned());
        }
    }
    names
}

#[test]
fn the_header_declares_what_the_library_exports() {
    let declared = declared();
    assert!(declared.len() > 30, "{declared:?}");
    assert_eq!(declared, exported());
}

#[test]
fn the_dynamic_library_exports_that_and_nothing_else() {
    let library = libraries().join("libperso_core_capi.so");
    if !cfg!(target_os = "linux") || !has("nm") {
        return skip("there is no `nm` for a dynamic library of Linux");
    }
    let listed = run(Command::new("nm")
        .args(["-D", "--defined-only", "--format=posix"])
        .arg(library));
    let names = listed.lines().filter_map(|line| line.split(' ').next());
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    // Rust's own are hidden, but for one that unwinding needs.
    let foreign: Vec<&String> = names
        .iter()
        .filter(|name| !name.starts_with("pc_") && *name != "rust_eh_personality")
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert!(declared().is_subset(&names));
}

/// A program that uses every function, so that the linker has to find each one under the name of C.
fn user_of_all() -> String {
    let table: String = declared()
        .iter()
        .map(|name| format!("    (function){name},\n"))
        .collect();
    format!(
        "#include \"perso_core.h\"\n#include \"perso_core.h\"\ntypedef void (*function)(void);\n\
         static function const all[] = {{\n{table}}};\nint main(void) {{\n    \
         return all[0] != 0 && pc_abi_version() == PC_ABI_VERSION ? 0 : 1;\n}}\n"
    )
}

#[test]
fn c_and_cpp_take_the_header() {
    let folder = tempfile::tempdir().unwrap();
    let text = user_of_all();
    let mut tried = 0;
    for (compiler, name, language) in [
        ("gcc", "all.c", "-std=c99"),
        ("clang", "all.c", "-std=c11"),
        ("g++", "all.cc", "-std=c++11"),
        ("clang++", "all.cc", "-std=c++20"),
    ] {
        if !has(compiler) {
            skip(&format!("there is no `{compiler}`"));
            continue;
        }
        let source = folder.path().join(name);
        fs::write(&source, &text).unwrap();
        let program = folder.path().join("all");
        let mut command = Command::new(compiler);
        command.arg(language).args(STRICT).arg("-I").arg(include());
        command.args([source.as_os_str(), "-o".as_ref(), program.as_os_str()]);
        link_dynamic(&mut command);
        run(&mut command);
        run(&mut started(&program));
        tried += 1;
    }
    if tried == 0 {
        skip("no compiler was found");
    }
}

/// As `make install-capi` puts it somewhere and pkg-config finds it: shared and static.
#[test]
fn it_is_installed_and_found() {
    if !cfg!(target_os = "linux") || ["bash", "gcc", "pkg-config"].iter().any(|tool| !has(tool)) {
        return skip("an installation is tried with bash, gcc and pkg-config, on Linux");
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let prefix = folder.join("usr");
    let install = |destination: &str| {
        run(Command::new("bash")
            .arg(here().join("../../scripts/install_capi.sh"))
            .env("PREFIX", &prefix)
            .env("DESTDIR", destination)
            .env("CAPI_FROM", libraries()));
    };
    install("");
    let configured = |arguments: &[&str]| -> Vec<String> {
        let listed = run(Command::new("pkg-config")
            .args(arguments)
            .arg("perso_core")
            .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")));
        listed.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(configured(&["--modversion"]), [env!("CARGO_PKG_VERSION")]);
    let source = folder.join("all.c");
    fs::write(&source, user_of_all()).unwrap();
    let shared = folder.join("shared");
    let compile = |program: &Path, libraries: Vec<String>| {
        run(Command::new("gcc")
            .arg("-std=c99")
            .args(STRICT)
            .arg(&source)
            .args(["-o".as_ref(), program.as_os_str()])
            .args(libraries));
    };
    compile(&shared, configured(&["--cflags", "--libs"]));
    run(Command::new(&shared).env("LD_LIBRARY_PATH", prefix.join("lib")));

    // The static library by its name, and what it needs, which comes after the first library in the list.
    let mut libraries = configured(&["--cflags"]);
    let archive = prefix.join("lib/libperso_core_capi.a");
    libraries.push(archive.to_str().unwrap().to_owned());
    let needs = configured(&["--static", "--libs-only-l"]);
    assert_eq!(needs[0], "-lperso_core_capi");
    libraries.extend_from_slice(&needs[1..]);
    let alone = folder.join("alone");
    compile(&alone, libraries);
    run(&mut Command::new(&alone));

    // For a package, the same below another root.
    install(folder.join("root").to_str().unwrap());
    let below = folder.join("root").join(prefix.strip_prefix("/").unwrap());
    let text = fs::read_to_string(below.join("lib/pkgconfig/perso_core.pc")).unwrap();
    assert!(text.starts_with(&format!("prefix={}\n", prefix.display())));
    assert!(below.join("lib/libperso_core_capi.so").exists());
}
