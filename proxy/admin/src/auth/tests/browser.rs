use serde_json::Value as Json;

use super::super::jwt::tests::{Signer, claims_with, settings};
use super::*;
use crate::settings::KeySource;

/// A browser that has signed in.
struct Browser {
    cookie: String,
    csrf: String,
}

impl Browser {
    async fn sign_in(desk: &Desk, token: &str) -> Self {
        let answer = desk.send(post("/login").form(&[("token", token), ("then", "/groups")])).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/groups"), "{answer:?}");
        let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
        let me = desk.send(get("/api/v1/me").header("cookie", &cookie)).await;
        let me: Json = serde_json::from_str(&me.body).unwrap();
        assert_eq!(me["via"], "session");
        Self { cookie, csrf: me["csrf"].as_str().unwrap().to_owned() }
    }

    fn of(&self, ask: Ask) -> Ask {
        ask.header("cookie", &self.cookie)
    }

    /// With the cookie, the csrf token, and what browsers say of our own pages.
    fn own(&self, ask: Ask) -> Ask {
        self.of(ask).header("x-csrf-token", &self.csrf).header("origin", "http://localhost:9090")
    }
}

#[tokio::test]
async fn a_browser_signs_in_acts_and_signs_out() {
    let desk = Desk::new();
    let page = desk.send(get("/login?then=/groups%22%3E")).await;
    assert!(page.body.contains("value=\"/groups&quot;&gt;\""), "{}", page.body);
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    assert_eq!(page.header("x-frame-options"), "DENY");

    let answer = desk.send(post("/login").form(&[("token", &desk.operator), ("then", "//evil.example")])).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/"), "led nowhere else");
    assert!(answer.header("set-cookie").ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{answer:?}");

    let browser = Browser::sign_in(&desk, &desk.operator).await;
    assert_eq!(desk.send(browser.own(roll_back())).await.status, 200);
    let out = desk.send(browser.own(post("/logout"))).await;
    assert_eq!((out.status, out.header("location")), (303, "/login"));
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    desk.send(browser.of(get("/api/v1/me"))).await.is(401, "has ended");
}

#[tokio::test]
async fn a_browser_with_a_bad_token_is_told_on_the_page() {
    let desk = Desk::new();
    for token in ["", "strangler_0011_x", "<b>"] {
        let answer = desk.send(post("/login").form(&[("token", token)])).await;
        answer.is(401, "role=\"alert\"");
        assert!(answer.header("set-cookie").is_empty() && !answer.body.contains("<b>"));
    }
    // Another site must not sign a browser in, not even with a good token of its own.
    let theirs = post("/login").form(&[("token", &desk.viewer)]).header("origin", "https://evil.example");
    desk.send(theirs).await.is(403, "CROSS_SITE");
}

#[tokio::test]
async fn a_request_by_cookie_needs_the_csrf_token_of_its_session_and_an_own_page() {
    let desk = Desk::new();
    let browser = Browser::sign_in(&desk, &desk.operator).await;
    let other = Browser::sign_in(&desk, &desk.operator).await;
    desk.send(browser.of(roll_back())).await.is(403, "CSRF");
    for wrong in ["", "guess", &other.csrf, &browser.csrf[1..]] {
        desk.send(browser.of(roll_back()).header("x-csrf-token", wrong)).await.is(403, "CSRF");
    }
    desk.send(browser.of(post("/logout"))).await.is(403, "CSRF");
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("origin", "null")] {
        let theirs = browser.of(roll_back()).header("x-csrf-token", &browser.csrf).header(name, value);
        desk.send(theirs).await.is(403, "CROSS_SITE");
        let socket = browser.of(get("/api/graphql")).header("upgrade", "websocket").header(name, value);
        desk.send(socket).await.is(403, "CROSS_SITE");
    }
    // A form field will do as well; it is only looked for in a form.
    let form = browser.of(post(ROLL_BACK)).form(&[("csrf", &browser.csrf)]);
    desk.send(form).await.is(415, "NOT_JSON");
    let no_form =
        browser.of(post(ROLL_BACK)).header("content-type", "text/plain").body(format!("csrf={}", browser.csrf));
    desk.send(no_form).await.is(403, "CSRF");
    assert_eq!(desk.send(browser.own(roll_back())).await.status, 200);
}

#[tokio::test]
async fn a_session_has_its_tokens_role_and_ends_with_it() {
    let desk = Desk::new();
    let viewer = Browser::sign_in(&desk, &desk.viewer).await;
    desk.send(viewer.own(roll_back())).await.is(403, "FORBIDDEN");

    let stop = CancellationToken::new();
    tokio::spawn(desk.auth.clone().follow(stop.clone()));
    let operator = Browser::sign_in(&desk, &desk.operator).await;
    desk.write(&desk.lines[..1]);
    let gone = async {
        while desk.send(operator.of(get("/api/v1/me"))).await.status == 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), gone).await.unwrap();
    assert_eq!(desk.send(viewer.of(get("/api/v1/me"))).await.status, 200);
    stop.cancel();
}

#[tokio::test]
async fn a_session_for_a_jwt_has_its_role_and_ends_with_it() {
    let (signer, folder) = (Signer::ed(), tempfile::tempdir().unwrap());
    let file = folder.path().join("keys.json");
    std::fs::write(&file, serde_json::json!({ "keys": [signer.jwk("a")] }).to_string()).unwrap();
    let desk = Desk::with(|auth| auth.jwt = Some(settings(KeySource::File(file))));
    let ends = clock().to_utc().timestamp() + 300;
    let token = signer.token("a", &claims_with(&serde_json::json!({ "exp": ends })));
    let me = desk.send(get("/api/v1/me").token(&token)).await;
    assert!(me.body.contains("\"via\":\"jwt\"") && me.body.contains("\"who\":\"ada\""), "{me:?}");
    assert_eq!(desk.send(roll_back().token(&token)).await.status, 200);

    let browser = Browser::sign_in(&desk, &token).await;
    assert_eq!(desk.send(browser.own(roll_back())).await.status, 200);
    later(301);
    desk.send(browser.of(get("/api/v1/me"))).await.is(401, "has ended");
    // The tokens of the file go on beside it.
    assert_eq!(desk.send(get("/api/v1/me").token(&desk.viewer)).await.status, 200);
}

#[tokio::test]
async fn an_idle_session_ends_and_an_active_one_goes_on_until_it_is_old() {
    let desk = Desk::new();
    let mut browser = Browser::sign_in(&desk, &desk.viewer).await;
    assert!(desk.send(browser.of(get("/api/v1/me"))).await.header("set-cookie").is_empty(), "still fresh");
    for _ in 0..6 {
        later(590);
        let answer = desk.send(browser.of(get("/api/v1/me"))).await;
        assert_eq!(answer.status, 200);
        browser.cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
    }
    later(61);
    desk.send(browser.of(get("/api/v1/me"))).await.is(401, "has ended");

    let browser = Browser::sign_in(&desk, &desk.viewer).await;
    later(600);
    desk.send(browser.of(get("/api/v1/me"))).await.is(401, "has ended");
}

#[tokio::test]
async fn tampered_doubled_and_foreign_cookies_are_refused() {
    let (desk, other) = (Desk::new(), Desk::new());
    let browser = Browser::sign_in(&desk, &desk.operator).await;
    let (name, value) = browser.cookie.split_once('=').unwrap();
    let mut flipped = value.to_owned();
    let middle = value.len() / 2;
    flipped.replace_range(middle..=middle, if &value[middle..=middle] == "A" { "B" } else { "A" });
    let foreign = Browser::sign_in(&other, &other.operator).await.cookie;
    for cookie in [format!("{name}={flipped}"), format!("{name}="), format!("{name}=v1.e30.x"), foreign] {
        let answer = desk.send(browser.own(roll_back()).header("x-none", "")).await;
        assert_eq!(answer.status, 200, "the true one is good");
        desk.send(get("/api/v1/me").header("cookie", &cookie)).await.is(401, "UNAUTHENTICATED");
    }
    let doubled = format!("{name}={flipped}; {}", browser.cookie);
    desk.send(get("/api/v1/me").header("cookie", &doubled)).await.is(401, "UNAUTHENTICATED");
    let among_others = format!("theme=dark; {}; x=y", browser.cookie);
    assert_eq!(desk.send(get("/api/v1/me").header("cookie", &among_others)).await.status, 200);
    // A bad token in the header is not made good by a cookie.
    desk.send(browser.own(roll_back()).token("strangler_0011_x")).await.is(401, "UNAUTHENTICATED");
}
