//! Shells and the manual know every command.

use std::path::Path;
use std::process::{Command, Stdio};

use clap::CommandFactory;
use strangler::cli::args::Cli;

fn strangler(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_strangler")).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `strangler`, `strangler-groups`, `strangler-groups-set`, …
fn commands(command: &clap::Command, name: &str, found: &mut Vec<String>) {
    found.push(name.to_owned());
    for sub in command.get_subcommands() {
        commands(sub, &format!("{name}-{}", sub.get_name()), found);
    }
}

fn every_command() -> Vec<String> {
    let mut found = Vec::new();
    commands(&Cli::command(), "strangler", &mut found);
    found
}

#[test]
fn every_shell_gets_a_script_that_knows_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = strangler(&["completions", shell]);
        for command in every_command() {
            let word = command.rsplit('-').next().unwrap();
            assert!(script.contains(word), "{shell} does not know {command}");
        }
    }
}

#[test]
fn bash_understands_its_script_and_completes_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("strangler.bash");
    std::fs::write(&script, strangler(&["completions", "bash"])).unwrap();
    let bash = |arguments: &[&str]| Command::new("bash").arg("--norc").args(arguments).output().unwrap();
    let checked = bash(&["-n", script.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let complete = format!(
        "source '{}'; COMP_WORDS=(strangler groups ro); COMP_CWORD=2; _strangler strangler ro groups; echo \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let completed = bash(&["-c", &complete]);
    assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "rollback");
}

#[test]
fn every_command_has_a_manual_page_that_can_be_set() {
    assert!(strangler(&["man"]).contains(".TH strangler 1"));
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("man1");
    strangler(&["man", "--dir", dir.to_str().unwrap()]);
    for command in every_command() {
        let page = dir.join(format!("{command}.1"));
        let text = std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        assert!(text.contains(".SH SYNOPSIS"), "{command}");
        sets_without_a_warning(&page);
    }
}

/// By groff, where there is one.
fn sets_without_a_warning(page: &Path) {
    let set = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(page).output();
    if let Ok(set) = set {
        assert!(set.status.success() && set.stderr.is_empty(), "{}: {set:?}", page.display());
    }
}
