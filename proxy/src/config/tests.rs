//! What operators can get wrong, and that the example tells the truth.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::load::{Sources, load};
use super::{Config, InvalidConfig, raw};

const EXAMPLE: &str = include_str!("../../../docs/strangler.example.toml");
const LEAST: &str = "[sides.legacy]\nurl = \"postgres://strangler@127.0.0.1:5432/erp\"\n\
                     [sides.modern]\nurl = \"postgres://strangler@127.0.0.1:5432/modern\"\n";

/// Loads `text` as `strangler.toml` of a folder of its own; places are shown without the folder.
fn loaded(text: &str, variables: &[(&str, &str)]) -> Result<Config, InvalidConfig> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("strangler.toml");
    std::fs::write(&file, text).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let shown = |text: String| text.replace(&format!("{}/", folder.path().display()), "");
    let inside = |path: PathBuf| path.strip_prefix(folder.path()).map(PathBuf::from).unwrap_or(path);
    load(&Sources { file: Some(file), variables })
        .map(|config| Config { contract: inside(config.contract), state_dir: inside(config.state_dir), ..config })
        .map_err(|error| InvalidConfig { place: shown(error.place), rule: shown(error.rule), ..error })
}

#[test]
fn the_example_states_every_key_and_its_true_default() {
    assert_eq!(loaded(EXAMPLE, &[]).unwrap(), loaded(LEAST, &[]).unwrap());
    fn keys(tree: &serde_json::Value, found: &mut Vec<String>) {
        for (name, inner) in tree.as_object().into_iter().flatten() {
            found.push(name.clone());
            keys(inner, found);
        }
    }
    let mut known = Vec::new();
    keys(&raw::known(), &mut known);
    for key in known {
        assert!(EXAMPLE.contains(&key), "the example does not mention `{key}`");
    }
}

#[test]
fn a_variable_overrides_the_file_and_lists_take_commas() {
    let variables = [
        ("STRANGLER__SIDES__LEGACY__URL", "postgres://other/erp"),
        ("STRANGLER__SHADOW__QUEUE", "7"),
        ("STRANGLER__GATEWAY__DEVELOPMENT", "true"),
        ("STRANGLER__READS__MODERN_SHARE", "12.5"),
        ("STRANGLER__FLEET__REPLICAS", "a:1, b:2"),
        ("STRANGLER_WHO", "ada"),
        ("PATH", "/bin"),
    ];
    let config = loaded(LEAST, &variables).unwrap();
    assert_eq!(config.sides.legacy.url.reveal(), "postgres://other/erp");
    assert_eq!(config.shadow.queue.get(), 7);
    assert!(config.gateway.development);
    assert_eq!(config.reads.modern_share.to_string(), "12.5 %");
    assert_eq!(config.fleet.replicas, ["a:1", "b:2"]);
    assert_eq!(config.control.url, config.sides.modern.url);
}

#[test]
fn variables_alone_are_enough() {
    let variables =
        [("STRANGLER__SIDES__LEGACY__URL", "postgres://l/erp"), ("STRANGLER__SIDES__MODERN__URL", "postgres://m/new")];
    let config = loaded("", &variables).unwrap();
    assert_eq!(config.control.url.reveal(), "postgres://m/new");
}

#[test]
fn a_secret_may_stand_in_a_file_and_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    std::fs::write(&file, "postgres://erp:s3cr3t-word@db/erp\n").unwrap();
    let text = format!(
        "[sides.legacy]\nurl_file = {:?}\n[sides.modern]\nurl = \"postgres://m/new\"\n[evidence]\nhash_key = \"s3cr3t-word-of-16\"",
        file.display().to_string()
    );
    let config = loaded(&text, &[]).unwrap();
    assert_eq!(config.sides.legacy.url.reveal(), "postgres://erp:s3cr3t-word@db/erp");
    assert_eq!(config.evidence.hash_key.as_ref().unwrap().reveal(), "s3cr3t-word-of-16");
    assert!(!format!("{config:?}").contains("s3cr3t"));
}

#[test]
fn mistakes_name_the_key_the_rule_and_the_place() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("[shadow]\nqueu = 5", &[]),
        ("[shadows]\nqueue = 5", &[]),
        ("[sides.legacy]\npassword = \"s3cr3t\"", &[]),
        ("shadow = 5", &[]),
        ("[shadow.queue]\nsize = 5", &[]),
        ("[shadow]\nqueue = 0", &[]),
        ("[shadow]\nqueue = -1", &[]),
        ("[shadow]\nqueue = \"many\"", &[]),
        ("[shadow\nqueue = 5", &[]),
        ("[control]\nurl = \"postgres://u:s3cr3t@db/x", &[]),
        ("[shadow]\nconfirm_delays = []", &[]),
        ("[gateway]\ndeadline = 5", &[]),
        ("[gateway]\nlisten = \"8080\"", &[]),
        ("[gateway]\nstick_header = \"x customer\"", &[]),
        ("[gateway.limits]\ndepth = 0", &[]),
        ("[reads]\nmodern_share = 120", &[]),
        ("[reads]\nmodern_share = 12.345", &[]),
        ("[reads]\nfallback = \"perhaps\"", &[]),
        ("[admin]\nlisten = \"0.0.0.0:9090\"", &[]),
        ("[writes]\nrelay_batch = 5000", &[]),
        ("[writes]\nretention = \"0d\"", &[]),
        ("[evidence]\nhash_key = \"s3cr3t\"", &[]),
        ("[evidence]\nhash_key_file = \"nowhere\"", &[]),
        ("[fleet]\nreplicas = [\"http://a:9090/\"]", &[]),
        ("[log]\nformat = \"xml\"", &[]),
        ("[log]\nlevel = \"loud=very=much\"", &[]),
        ("[sides.legacy]\nurl = \"oracle://s3cr3t@db\"", &[]),
        ("[sides.modern]\nurl = \"postgres://m/new\"", &[]),
        ("", &[("STRANGLER__SHADOW__QUEU", "5")]),
        ("", &[("STRANGLER__SHADOW__QUEUE", "s3cr3t")]),
        ("", &[("STRANGLER__SHADOW__QUEUE", "0")]),
        ("", &[("STRANGLER__SIDES__LEGACY__URL_FILE", "nowhere")]),
        ("[groups.inventory]\nreads = 50", &[]),
    ];
    let mut lines = Vec::new();
    for (text, variables) in cases {
        let names_a_side = text.contains("[sides") || text.contains("shadow = 5");
        let text = if names_a_side { (*text).to_owned() } else { format!("{LEAST}{text}") };
        let error = loaded(&text, variables).expect_err(&text).to_string();
        assert!(!error.contains("s3cr3t"), "{error}");
        lines.push(error);
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let file = Some(PathBuf::from("no-such-file.toml"));
    let error = load(&Sources { file, variables: BTreeMap::new() }).unwrap_err();
    assert!(error.to_string().starts_with("no-such-file.toml: cannot be read: "), "{error}");
}
