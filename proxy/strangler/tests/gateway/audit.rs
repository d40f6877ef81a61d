//! The audits of the GraphQL over HTTP specification (npm `graphql-http`) against a listening gateway.

use std::path::Path;

use tokio::process::Command;

use crate::server::listening;

#[tokio::test(flavor = "multi_thread")]
async fn all_61_audits_of_graphql_over_http_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/audit");
    if !folder.join("node_modules/graphql-http").exists() {
        let installed = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
            .current_dir(&folder)
            .status()
            .await;
        let installed = installed.expect("the audit needs Node.js 20 with npm on the path");
        assert!(installed.success(), "npm ci failed in {}", folder.display());
    }
    let server = listening(|_| {}).await;
    let audit = Command::new("node").args(["run.mjs", &server.url()]).current_dir(&folder).output();
    let audit = audit.await.unwrap();
    let told = String::from_utf8_lossy(&audit.stdout);
    assert!(audit.status.success(), "{told}{}", String::from_utf8_lossy(&audit.stderr));
    assert_eq!(told.trim(), r#"{"ok":61,"notice":0,"warn":0,"error":0}"#);
}
