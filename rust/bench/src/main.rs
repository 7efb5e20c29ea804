//! The workloads of `make bench-check`, one process a call:
//!
//! ```text
//! perso-bench list                    the scenarios, as JSON
//! perso-bench run FOLDER NAME...      runs them, checks their answers, keeps what they built in FOLDER
//! perso-bench pairs FOLDER ROUNDS      times each pair of ours and frozen in turn, as JSON
//! ```
//!
//! `run` is called twice: as it is, which builds indexes at full speed and leaves them in the folder, then
//! under callgrind, one scenario a process, where they are loaded and only the calls themselves are counted.
//! `bench/check.py` does both and compares.

mod clock;
mod data;
mod frozen;
mod meter;
mod pairs;
mod scenarios;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => println!("{}", scenarios::list()),
        ["run", folder, names @ ..] if !names.is_empty() => {
            for name in names {
                let Some(scenario) = scenarios::ALL.iter().find(|s| s.name == *name) else {
                    eprintln!("perso-bench: no scenario is called {name:?}; see perso-bench list");
                    return ExitCode::from(2);
                };
                let mut meter = meter::Meter::new(PathBuf::from(folder));
                (scenario.run)(&mut meter);
                println!("{}", meter.report(scenario.name));
            }
        }
        ["pairs", folder, rounds] if rounds.parse::<usize>().is_ok_and(|rounds| rounds > 0) => {
            println!(
                "{}",
                pairs::measure(Path::new(folder), rounds.parse().unwrap_or(1))
            );
        }
        _ => {
            eprintln!(
                "usage: perso-bench list | perso-bench run FOLDER NAME... | perso-bench pairs FOLDER ROUNDS"
            );
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
