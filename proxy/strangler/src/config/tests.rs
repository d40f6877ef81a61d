use std::fmt::Write;

use super::*;
use ::admin::auth::Role;

const LEAST: &str = "[sides.legacy]\nurl = \"postgres://a/b\"\n[sides.modern]\nurl = \"postgres://c/d\"\n";

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, InvalidConfig> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse(text, Path::new("strangler.toml"), variables.collect())
}

#[test]
fn the_example_shows_every_key_at_its_default() {
    let same = |text: &str| {
        let config = parse(text, &[]).unwrap();
        // The addresses of the sides are the only keys without default; they are not shown by Debug.
        format!("{:#?}", Config { control_url: String::new(), ..config })
    };
    assert_eq!(same(EXAMPLE), same(LEAST));
}

#[test]
fn a_variable_wins_over_the_file_and_may_hold_a_secret() {
    let url = ("STRANGLER__SIDES__LEGACY__URL", "postgres://x:secret@y/z");
    let listen = ("STRANGLER__GATEWAY__LISTEN", "127.0.0.1:1");
    let budget = ("STRANGLER__WRITES__ANSWER_BUDGET_MS", "7");
    let config = parse(LEAST, &[url, listen, budget, ("OTHER__KEY", "1")]).unwrap();
    let digits = ("STRANGLER__EVIDENCE__SECRET", "0001234567890123456");
    let secret = parse(LEAST, &[digits]).unwrap().evidence.secret;
    assert_eq!(secret.as_deref(), Some(digits.1.as_bytes()), "a secret of digits is no number");
    let SideSettings::Postgres(legacy) = &config.sides.legacy else { panic!("{:?}", config.sides) };
    assert_eq!(legacy.url, url.1);
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.writes.answer_budget, Duration::from_millis(7));
    assert_eq!(config.control_url, "postgres://c/d", "the control database is modern's by default");
    assert!(!format!("{:?}", config.sides).contains("secret"));
}

#[test]
fn a_side_can_be_an_oracle_and_its_password_is_not_shown() {
    let erp = "[sides.legacy]\nkind = \"oracle\"\nconnect = \"erp:1521/prod\"\nuser = \"strangler\"\n\
               client_lib_dir = \"/opt/oracle\"\nscan = 1\n[sides.modern]\nurl = \"postgres://c/d\"\n";
    let password = ("STRANGLER__SIDES__LEGACY__PASSWORD", "0123");
    let config = parse(erp, &[password]).unwrap();
    assert!(!format!("{:?}", config.sides).contains("0123"));
    let SideSettings::Oracle(legacy) = config.sides.legacy else { panic!("{:?}", config.sides) };
    assert_eq!((legacy.connect.as_str(), legacy.password.as_str()), ("erp:1521/prod", "0123"));
    assert_eq!((legacy.scan.get(), legacy.admin.get(), legacy.statement_cache), (1, 2, 150));

    let side = |text: &str| format!("[sides.legacy]\n{text}\n[sides.modern]\nurl = \"postgres://c/d\"\n");
    let mut report = String::new();
    for text in [
        "kind = \"db2\"",
        "kind = \"oracle\"",
        "kind = \"oracle\"\nconnect = \"a:1/b\"",
        "kind = \"oracle\"\nconnect = \"a:1/b\"\nuser = \"u\"",
        "kind = \"oracle\"\nconnect = \"a:1/b\"\nuser = \"u\"\npassword_file = \"/does/not/exist\"",
        "kind = \"oracle\"\nurl = \"postgres://a/b\"",
        "kind = \"oracle\"\nconnect = \"a:1/b\"\nuser = \"u\"\npassword = \"p\"\nqueue = 0",
        "url = \"postgres://a/b\"\nclient_lib_dir = \"/opt\"",
    ] {
        let error = parse(&side(text), &[]).unwrap_err();
        writeln!(report, "{}\n  {error}", text.replace('\n', " ")).unwrap();
    }
    let modern = "[sides.legacy]\nurl = \"postgres://a/b\"\n[sides.modern]\nkind = \"oracle\"\nconnect = \"a:1/b\"\n\
                  user = \"u\"\npassword = \"p\"\n";
    writeln!(report, "no control database\n  {}", parse(modern, &[]).unwrap_err()).unwrap();
    insta::assert_snapshot!(report);
}

#[test]
fn the_admin_port_is_on_loopback_only_until_somebody_can_sign_in() {
    let admin = |text: &str| parse(&format!("[admin]\n{text}\n{LEAST}"), &[]).map(|config| config.admin);
    let anywhere = "listen = \"0.0.0.0:9090\"";
    for listen in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1"] {
        assert!(admin(&format!("listen = \"{listen}\"")).unwrap().auth.is_none());
    }
    for listen in ["0.0.0.0:1", "10.0.0.1:1", "[::]:1"] {
        assert!(admin(&format!("listen = \"{listen}\"")).unwrap_err().to_string().contains("`admin.listen`"));
    }
    let auth = admin(&format!("{anywhere}\ntokens_file = \"tokens\"")).unwrap().auth.unwrap();
    assert_eq!(auth.tokens_file, Some("tokens".into()));
    assert!(!auth.sessions.secure);
    let jwt = "[admin.jwt]\nissuer = \"https://a\"\naudience = \"b\"\njwks_url = \"https://a/keys\"\n\
               viewers = [\"x\", \"y\"]\nadmins = [\"y\"]\n[admin.tls]\ncert_file = \"c\"\nkey_file = \"k\"";
    let config = admin(&format!("{anywhere}\n{jwt}")).unwrap();
    let auth = config.auth.unwrap();
    assert!(auth.sessions.secure && config.tls.unwrap().section == "admin.tls");
    let roles = auth.jwt.unwrap().roles;
    assert_eq!((roles["x"], roles["y"]), (Role::Viewer, Role::Admin), "who is in two lists may do the more");
    let lists = ("STRANGLER__ADMIN__JWT__OPERATORS", "p,q");
    let config = parse(&format!("[admin]\n{anywhere}\n{jwt}\n{LEAST}"), &[lists]).unwrap();
    assert_eq!(config.admin.auth.unwrap().jwt.unwrap().roles["q"], Role::Operator);
    let secret = "session_secret = \"0123456789012345678901234567890123\"";
    let config = admin(&format!("tokens_file = \"t\"\n{secret}")).unwrap();
    assert!(!format!("{config:?}").contains("0123456789"), "secrets are not shown");
}

#[test]
fn every_mistake_names_its_key_and_where_it_stands() {
    let files = [
        "colour = 1\n",
        "[gateway]\nlisten = \"8080\"\n",
        "[gateway]\nlissten = \"127.0.0.1:1\"\n",
        "[gateway]\ndeadline_ms = \"soon\"\n",
        "[gateway]\ndeadline_ms = 0\n",
        "[gateway]\nstick_header = \"customer id\"\n",
        "[gateway.limits]\ndeep = 3\n",
        "[gateway]\naddress_share = 0\n",
        "[gateway]\ntrusted_proxies = [\"10.0.0.0/99\"]\n",
        "[gateway]\nmemory_budget_bytes = 1000\n",
        "[gateway]\nbody_budget_bytes = 1000\n",
        "[gateway]\nplan_cache_bytes = 1\n",
        "[admin]\nlisten = \"0.0.0.0:9090\"\n",
        "[admin]\nmetrics_need_token = true\n",
        "[admin]\nsession_secret = \"short\"\n",
        "[admin]\nsession_hours = 0\n",
        "[admin]\nsession_idle_minutes = 9999\n",
        "[admin.tls]\ncert_file = \"a.pem\"\n",
        "[gateway.tls]\nkey_file = \"a.pem\"\n",
        "[admin.jwt]\n",
        "[admin.jwt]\njwks_url = \"http://login.example/keys\"\n",
        "[admin.jwt]\njwks_url = \"keys\"\n",
        "[admin.jwt]\njwks_url = \"https://a/b\"\njwks_file = \"c\"\n",
        "[admin.jwt]\njwks_file = \"c\"\n",
        "[admin.jwt]\njwks_file = \"c\"\nviewers = [\"x\"]\naudience = \"strangler\"\n",
        "[admin.jwt]\njwks_file = \"c\"\nviewers = [\"x\"]\nissuer = \"https://a\"\n",
        "[admin.jwt.roles]\nx = \"admin\"\n",
        "[reads]\nmodern_share = 1.5\n",
        "[reads]\nbreaker_failures = 0\n",
        "[shadow]\nconfirm_looks = 0\n",
        "[shadow]\nin_flight = -1\n",
        "[writes]\nretention_hours = 0\n",
        "[writes]\nretention_hours = 1\n[sagas]\nlimit_ms = 3600000\n",
        "[sagas]\nlimit_ms = 0\n",
        "[sagas]\nlimit = 60000\n",
        "[sagas]\nundo_attempts = 0\n",
        "[evidence]\nsecret = \"short\"\n",
        "[evidence]\nsecret_file = \"/does/not/exist\"\n",
        "[log]\nformat = \"xml\"\n",
        "[log\n",
    ];
    let mut report = String::new();
    for file in files {
        let error = parse(&format!("{file}{LEAST}"), &[]).unwrap_err();
        writeln!(report, "{}\n  {error}", file.trim_end().replace('\n', " ")).unwrap();
    }
    let cases =
        [("STRANGLER__GATEWAY__LISSTEN", "1"), ("STRANGLER__SHADOW__QUEUE", "0"), ("STRANGLER__SHADOW__QUEUE", "many")];
    for (name, value) in cases {
        let error = parse(LEAST, &[(name, value)]).unwrap_err();
        writeln!(report, "{name}={value}\n  {error}").unwrap();
    }
    let error = parse("[sides.legacy]\nurl = \"postgres://a/b\"\n[sides.modern]\n", &[]).unwrap_err();
    writeln!(report, "no address for modern\n  {error}").unwrap();
    insta::assert_snapshot!(report);
}
