//! Every command line that a document shows is one that the program understands.

use clap::Parser;
use strangler::cli::args::Cli;

use super::{blocks, documents};

#[test]
fn every_command_of_a_document_can_be_parsed() {
    let mut tried = 0;
    for (path, document) in documents() {
        let shown = blocks(&document).into_iter().filter(|(name, _)| name == "sh");
        for line in shown.flat_map(|(_, body)| body.lines().map(str::to_owned).collect::<Vec<_>>()) {
            let Some(arguments) = line.strip_prefix("strangler ") else { continue };
            let words = std::iter::once("strangler".to_owned()).chain(words(arguments));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{}: `{line}`: {error}", path.display());
            }
            tried += 1;
        }
    }
    assert!(tried > 20, "only {tried} commands were found");
}

/// As a shell would split it, as far as our documents go: single quotes, comments, and where the output goes.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    // `--option='two words'` is one word.
    let mut glued = false;
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            match words.last_mut().filter(|_| glued) {
                Some(last) => last.push_str(part),
                None => words.push(part.to_owned()),
            }
            continue;
        }
        glued = part.ends_with(|letter: char| !letter.is_whitespace());
        let code = part.split(" #").next().unwrap_or_default();
        let command = code.split(" >").next().unwrap_or_default();
        words.extend(command.split_whitespace().map(str::to_owned));
        if command.len() < part.len() {
            break;
        }
    }
    words
}
