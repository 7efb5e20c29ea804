//! Compilers, and the libraries that C programs of the tests are linked with.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Warnings are errors.
pub const STRICT: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread"];

/// The folder of the libraries that this test was built beside: cargo puts all kinds of the crate's
/// library there before it runs a test of the crate.
pub fn libraries() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().to_owned()
}

pub fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn include() -> PathBuf {
    here().join("include")
}

/// Whether a tool is on the path, and runs.
pub fn has(tool: &str) -> bool {
    let output = Command::new(tool).arg("--version").output();
    output.is_ok_and(|output| output.status.success())
}

/// Says what was left out. Written to the stream itself, because the test harness swallows what a passing test prints.
pub fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let [out, err] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(
        output.status.success(),
        "{command:?}: {}\n{out}\n{err}",
        output.status
    );
    out
}

/// A compiler that is to make this program of `ctest`; what to link it with is to follow.
pub fn compile(compiler: &str, source: &str, program: &Path) -> Command {
    let mut command = Command::new(compiler);
    command
        .arg("-std=c99")
        .args(STRICT)
        .arg("-I")
        .arg(include())
        .arg(here().join("ctest").join(source))
        .arg("-o")
        .arg(program);
    command
}

pub fn link_dynamic(compiler: &mut Command) {
    let libraries = libraries();
    compiler
        .arg("-L")
        .arg(&libraries)
        .arg("-lperso_core_capi")
        .arg("-Xlinker")
        .arg("-rpath")
        .arg("-Xlinker")
        .arg(&libraries);
}

/// Whether it is known what a static library needs of the system; if so, it is linked.
pub fn link_static(compiler: &mut Command) -> bool {
    let needs: &[&str] = if cfg!(all(target_os = "linux", target_env = "gnu")) {
        &["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"]
    } else if cfg!(target_os = "macos") {
        &["-lc", "-lm"]
    } else {
        return false;
    };
    compiler
        .arg(libraries().join("libperso_core_capi.a"))
        .args(needs);
    true
}

/// A command that runs a program with the libraries that were built beside this test: cargo has tests look first where
/// `cargo build` put one, perhaps long ago.
pub fn started(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", libraries());
    command
}
