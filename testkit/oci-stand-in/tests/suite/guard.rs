//! The stand-in is for tests: it does not load unless asked, and says what it is.

use std::process::Command;

use super::Site;

#[tokio::test(flavor = "multi_thread")]
async fn it_refuses_to_load_unless_its_variable_is_set_and_names_itself() {
    let site = Site::new().await;
    let settings = site.database.settings();
    let program = std::env::current_exe().unwrap();
    let hello = program.parent().unwrap().parent().unwrap().join("examples").join("hello");
    let run = |guard: Option<&str>| {
        let mut command = Command::new(&hello);
        command.arg(settings.client_lib_dir.as_ref().unwrap()).args([
            &settings.user,
            &settings.password,
            &settings.connect,
        ]);
        match guard {
            Some(value) => command.env("STRANGLER_OCI_STAND_IN", value),
            None => command.env_remove("STRANGLER_OCI_STAND_IN"),
        };
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for guard in [None, Some("0"), Some("")] {
        let refused = run(guard);
        assert!(refused.contains("DPI-1072") || refused.contains("DPI-1050"), "{guard:?}: {refused}");
    }
    let told = run(Some("1"));
    assert!(told.contains("not an Oracle server"), "{told}");
}
