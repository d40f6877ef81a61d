//! The admin port behind TLS and tokens: a rollback by the real command needs a token, and nothing else.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use adapters::memory::control::MemoryControl;
use admin::serve::Door;
use admin::settings::{AdminSettings, AuthSettings, JwtSettings, KeySource, SessionSettings};
use model::control::ControlStore;
use model::{Instant, Percentage, Rollout};
use net::tls::TlsFiles;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value as Json;

use crate::follow::set;
use crate::replica::{Replica, inventory, schema};

const NOWHERE: &str = "postgres://nobody@127.0.0.1:1/nothing";

/// Writes an authority, and a certificate of it for 127.0.0.1.
fn certificates(folder: &Path) -> TlsFiles {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    std::fs::write(folder.join("ca.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
    let authority = Issuer::new(authority, key);
    let (params, key) = (CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap(), KeyPair::generate().unwrap());
    let (cert_file, key_file) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert_file, params.signed_by(&key, &authority).unwrap().pem()).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    TlsFiles { cert_file, key_file, section: "admin.tls" }
}

/// `strangler token new`: the token, and its line.
fn token(name: &str, role: &str) -> (String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_strangler"))
        .args(["--json", "token", "new", "--name", name, "--role", role])
        .output()
        .unwrap();
    let made: Json = serde_json::from_slice(&output.stdout).unwrap();
    (made["token"].as_str().unwrap().to_owned(), made["line"].as_str().unwrap().to_owned())
}

fn door(folder: &Path, lines: &[&str]) -> Door {
    let tokens_file = folder.join("tokens");
    std::fs::write(&tokens_file, lines.join("\n")).unwrap();
    let sessions =
        SessionSettings { secret: None, idle: Duration::from_secs(60), longest: Duration::from_secs(60), secure: true };
    // An identity provider that is down, as everything else is.
    let jwt = JwtSettings {
        issuer: "https://login.example".into(),
        audience: "strangler".into(),
        keys: KeySource::Url { url: "http://127.0.0.1:1/keys".parse().unwrap(), ca_file: None },
        who_claim: "sub".into(),
        role_claim: "roles".into(),
        roles: [("ops".to_owned(), admin::auth::Role::Operator)].into(),
    };
    let auth = AuthSettings { tokens_file: Some(tokens_file), jwt: Some(jwt), metrics_need_token: false, sessions };
    let settings =
        AdminSettings { listen: "127.0.0.1:0".parse().unwrap(), tls: Some(certificates(folder)), auth: Some(auth) };
    Door::open(&settings, || Instant::new(chrono::Utc::now())).unwrap()
}

/// The operator's side of it.
struct Command {
    config: PathBuf,
}

impl Command {
    fn new(folder: &Path, replica: &str, ca_file: Option<&Path>) -> Self {
        let config = folder.join("operator.toml");
        let ca_file = ca_file.map(|file| format!("ca_file = {file:?}\n")).unwrap_or_default();
        let text = format!(
            "contract = {:?}\nstate_dir = {:?}\n[sides.legacy]\nurl = {NOWHERE:?}\n[sides.modern]\nurl = {NOWHERE:?}\n\
             [control]\nurl = {NOWHERE:?}\n[fleet]\nreplicas = [{replica:?}]\n{ca_file}",
            schema(),
            folder.join("operator")
        );
        std::fs::write(&config, text).unwrap();
        Self { config }
    }

    /// `groups rollback`, with a token in the variable: what it printed, and its exit code.
    async fn roll_back(&self, token: Option<&str>, arguments: &[&str]) -> (Json, i32) {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_strangler"));
        command.args(["--json", "--config"]).arg(&self.config);
        command.args(["groups", "rollback", "inventory", "--who", "somebody"]).args(arguments).stdin(Stdio::null());
        command.env_remove("STRANGLER_TOKEN");
        if let Some(token) = token {
            command.env("STRANGLER_TOKEN", token);
        }
        let output = command.output().await.unwrap();
        let told = String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned();
        assert!(token.is_none_or(|token| !told.contains(token)), "the token is shown: {told}");
        (serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{told}")), output.status.code().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_needs_a_token_over_tls_and_nothing_else() {
    let memory = Arc::new(MemoryControl::new());
    let control: Arc<dyn ControlStore> = memory.clone();
    let folder = tempfile::tempdir().unwrap();
    let ((viewer, viewer_line), (operator, operator_line)) = (token("vic", "viewer"), token("ada", "operator"));
    let door = door(folder.path(), &[&viewer_line, &operator_line]);
    let replica = Replica::start_behind(door, &control, "a", &folder.path().join("a")).await.unwrap();
    set(&control, 50.0).await;
    let rolled_back = |rollout: &Rollout| rollout.policy(&inventory()).reads() == Percentage::ZERO;
    replica.until("50 %", |rollout| !rolled_back(rollout)).await;
    assert!(replica.address.starts_with("https://"), "{}", replica.address);

    // GIVEN no control store, no sides, no identity provider
    memory.set_down(true);
    let command = Command::new(folder.path(), &replica.address, Some(&folder.path().join("ca.pem")));
    // THEN without a token, with a wrong one, or with a viewer's, nothing happens, and it says why
    for (token, why) in
        [(None, "--token-file"), (Some("strangler_0011_x"), "not known"), (Some(&*viewer), "role operator")]
    {
        let (printed, code) = command.roll_back(token, &[]).await;
        let open = printed["open"][&replica.address].as_str().unwrap_or_default();
        assert!(code == 1 && open.contains(why), "{printed:#}");
        assert!(!rolled_back(&replica.rollout.current()));
    }
    let untrusting = Command::new(folder.path(), &replica.address, None);
    let (printed, _) = untrusting.roll_back(Some(&operator), &[]).await;
    assert!(printed["open"][&replica.address].as_str().unwrap().contains("fleet.ca_file"), "{printed:#}");

    // AND with an operator's it is done, in the name of the token
    let command = Command::new(folder.path(), &replica.address, Some(&folder.path().join("ca.pem")));
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{operator}\n")).unwrap();
    let (printed, code) = command.roll_back(None, &["--token-file", file.to_str().unwrap()]).await;
    assert_eq!((code, &printed["done"]), (0, &Json::Bool(true)), "{printed:#}");
    assert!(rolled_back(&replica.rollout.current()));
    assert_eq!(replica.rollout.pending()[0].author.who, "ada");
}
