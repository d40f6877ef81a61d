use super::*;

fn port() -> Router {
    Auth::loopback().protect(router(tests::admin().0))
}

#[tokio::test]
async fn who_reaches_loopback_is_an_admin_and_signs_as_they_say() {
    let (admin, _) = tests::admin();
    let rollout = admin.rollout.clone();
    let port = Auth::loopback().protect(router(admin));
    let me = get("/api/v1/me").of(&port).await;
    assert!(me.body.contains("\"role\":\"admin\"") && me.body.contains("\"via\":\"loopback\""), "{me:?}");
    assert_eq!(roll_back().of(&port).await.status, 200);
    assert_eq!(rollout.pending()[0].author.who, "eve");
    let login = get("/login?then=/groups").of(&port).await;
    assert_eq!((login.status, login.header("location")), (303, "/groups"), "there is nothing to sign in for");
}

#[tokio::test]
async fn a_page_that_made_its_name_lead_here_reads_and_changes_nothing() {
    let port = port();
    for host in ["evil.example", "evil.example:9090", "10.0.0.7:9090", "", "local host"] {
        for (method, path) in [("GET", "/api/v1/groups"), ("GET", "/"), ("GET", "/metrics"), ("POST", ROLL_BACK)] {
            let mut ask = ask(method, path);
            ask.request.headers_mut().unwrap().remove("host");
            ask.header("host", host).of(&port).await.is(421, "NOT_LOCALHOST");
        }
    }
    let mut probe = get("/health/ready");
    probe.request.headers_mut().unwrap().remove("host");
    assert_eq!(probe.of(&port).await.status, 200, "probes come by any name");
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_through_a_browser_here() {
    let port = port();
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        roll_back().header(name, value).of(&port).await.is(403, "CROSS_SITE");
        let socket = get("/api/graphql").header("upgrade", "websocket").header(name, value);
        socket.of(&port).await.is(403, "CROSS_SITE");
    }
    assert_eq!(roll_back().header("origin", "http://localhost:9090").of(&port).await.status, 200);
}
