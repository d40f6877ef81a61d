use std::io::Write;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusBuilder;
use parking_lot::Mutex;
use serde_json::Value as Json;

use super::*;

#[tokio::test]
async fn everything_but_health_metrics_and_the_login_page_asks_who_comes() {
    let desk = Desk::new();
    for path in ["/health/live", "/health/ready", "/metrics", "/login"] {
        assert_eq!(desk.send(get(path)).await.status, 200, "{path}");
    }
    for path in
        ["/", "/api/v1/groups", "/api/v1/replica", "/api/v1/me", "/api/graphql", "/nothing", "/health/", "/login/x"]
    {
        let answer = desk.send(get(path)).await;
        answer.is(401, "UNAUTHENTICATED");
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    }
    desk.send(post("/metrics")).await.is(401, "UNAUTHENTICATED");
    desk.send(post("/health/live")).await.is(401, "UNAUTHENTICATED");
    let page = desk.send(get("/groups?tab=a&b").header("accept", "text/html,*/*")).await;
    assert_eq!((page.status, page.header("location")), (303, "/login?then=%2Fgroups%3Ftab%3Da%26b"));

    let desk = Desk::with(|settings| settings.metrics_need_token = true);
    desk.send(get("/metrics")).await.is(401, "UNAUTHENTICATED");
    assert_eq!(desk.send(get("/metrics").token(&desk.viewer)).await.status, 200);
    assert_eq!(desk.send(get("/health/ready")).await.status, 200);
}

#[tokio::test]
async fn a_token_gives_its_role_and_no_more() {
    let desk = Desk::new();
    assert_eq!(desk.send(get("/api/v1/groups").token(&desk.viewer)).await.status, 200);
    desk.send(roll_back().token(&desk.viewer)).await.is(403, "this needs the role operator");
    let answer = desk.send(roll_back().token(&desk.operator)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let me: Json = serde_json::from_str(&desk.send(get("/api/v1/me").token(&desk.operator)).await.body).unwrap();
    assert_eq!((&me["who"], &me["role"], &me["via"]), (&"ada".into(), &"operator".into(), &"token".into()));
}

#[tokio::test]
async fn whoever_signed_in_acts_in_no_other_name() {
    let (admin, _) = tests::admin();
    let rollout = admin.rollout.clone();
    let desk = Desk::new();
    let answer = roll_back().token(&desk.operator).of(&desk.auth.protect(router(admin))).await;
    assert_eq!(answer.status, 200);
    let author = rollout.pending()[0].author.clone();
    assert_eq!((author.who.as_str(), author.origin.as_str()), ("ada", "desk"));
}

#[tokio::test]
async fn a_viewer_can_change_nothing_that_the_description_lists() {
    let desk = Desk::new();
    let description: Json = serde_json::from_str(include_str!("../../openapi.json")).unwrap();
    let mut tried = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        // The schema checks its fields one by one: `schema::tests`.
        let is_own_business = matches!(path.as_str(), "/login" | "/logout" | "/api/graphql");
        for method in methods.as_object().unwrap().keys().filter(|method| *method != "get" && !is_own_business) {
            let path = path.replace("{group}", "inventory");
            let answer = desk.send(ask(&method.to_uppercase(), &path).token(&desk.viewer)).await;
            answer.is(403, "FORBIDDEN");
            tried += 1;
        }
    }
    assert!(tried > 0);
    // What nobody has thought of yet needs an operator too.
    for method in ["PUT", "DELETE", "PATCH", "BREW"] {
        desk.send(ask(method, "/api/v1/later").token(&desk.viewer)).await.is(403, "FORBIDDEN");
    }
}

#[tokio::test]
async fn what_is_no_good_token_is_refused_and_told_to_nobody() {
    let log = Log::default();
    let _log = log.listen();
    let recorder = PrometheusBuilder::new().build_recorder();
    let _metrics = metrics::set_default_local_recorder(&recorder);
    let desk = Desk::new();
    // The secret itself may have underscores.
    let (head, secret) = desk.operator.split_at(desk.operator.match_indices('_').nth(1).unwrap().0);
    let secret = &secret[1..];
    let other = made("eve", Role::Admin).token;
    let values = [
        format!("Bearer {head}_{}", &secret[1..]),
        format!("Bearer {head}_{secret}x"),
        format!("Bearer {}", desk.operator.to_uppercase()),
        format!("Bearer {other}"),
        format!("Bearer {head}_"),
        format!("Bearer {}", "a".repeat(100_000)),
        "Bearer ".to_owned(),
        "Bearer a.b.c".to_owned(),
        format!("Basic {}", desk.operator),
        desk.operator.clone(),
    ];
    for (index, value) in values.iter().enumerate() {
        let ask = roll_back().header("authorization", value).from(&format!("10.0.1.{index}"));
        desk.send(ask).await.is(401, "UNAUTHENTICATED");
    }
    let told = log.text();
    assert!(told.contains("10.0.1.3") && told.contains(ROLL_BACK), "{told}");
    for secret in [&secret[1..], &other[other.len() - 20..], "aaaaaaaa", "a.b.c"] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
    let counted = recorder.handle().render();
    assert!(counted.contains("strangler_admin_refused_total{reason=\"bad_credential\"} 10"), "{counted}");
}

#[tokio::test]
async fn a_token_ends_after_its_last_day() {
    let desk = Desk::new();
    let today = clock().to_utc().date_naive();
    let token = token::make(rand::random(), "tom", Role::Viewer, Some(today)).unwrap();
    desk.write(&[token.line]);
    let auth = Auth::open(Some(&settings_of(&desk)), clock).unwrap();
    let router = auth.protect(router(tests::admin().0));
    assert_eq!(get("/api/v1/me").token(&token.token).of(&router).await.status, 200);
    later(86_400);
    get("/api/v1/me").token(&token.token).of(&router).await.is(401, "has ended");
}

fn settings_of(desk: &Desk) -> AuthSettings {
    let sessions = SessionSettings { secret: None, idle: Duration::ZERO, longest: Duration::ZERO, secure: true };
    let tokens_file = Some(desk.folder.path().join("tokens"));
    AuthSettings { tokens_file, jwt: None, metrics_need_token: false, sessions }
}

#[tokio::test]
async fn guesses_become_slow_and_those_who_are_known_do_not_wait() {
    let desk = Desk::new();
    assert_eq!(desk.send(get("/api/v1/me").token(&desk.viewer)).await.status, 200);
    let guess = || get("/api/v1/me").token("strangler_0011_guess");
    for _ in 0..6 {
        desk.send(guess()).await.is(401, "UNAUTHENTICATED");
    }
    let answer = desk.send(guess()).await;
    answer.is(429, "TOO_MANY_ATTEMPTS");
    assert_eq!(answer.header("retry-after"), "1");
    // Not even the right one is looked at now, or guessing would only be slow for those who fail.
    desk.send(get("/api/v1/me").token(&desk.operator)).await.is(429, "TOO_MANY_ATTEMPTS");
    desk.send(post("/login").form(&[("token", &desk.operator)])).await.is(429, "too many failed attempts");
    assert_eq!(desk.send(get("/api/v1/me").token(&desk.viewer)).await.status, 200, "known to be good");
    assert_eq!(desk.send(get("/api/v1/me").token(&desk.operator).from("10.0.0.8")).await.status, 200);
}

#[tokio::test]
async fn guesses_made_at_once_count_like_guesses_made_in_a_row() {
    let desk = Desk::new();
    let id = desk.operator.split('_').nth(1).unwrap();
    let guesses = (0..64).map(|guess| {
        let token = format!("strangler_{id}_{guess}");
        desk.send(get("/api/v1/me").token(&token))
    });
    let answers = futures::future::join_all(guesses).await;
    let looked_at = answers.iter().filter(|answer| answer.status == 401).count();
    assert!(looked_at <= 8, "{looked_at} were looked at");
    assert!(answers.iter().all(|answer| matches!(answer.status, 401 | 429)));
}

#[tokio::test]
async fn a_good_token_is_hashed_once_and_not_for_every_request() {
    let desk = Desk::new();
    let ask = || desk.send(get("/api/v1/me").token(&desk.operator));
    assert_eq!(ask().await.status, 200);
    let all = async {
        for _ in 0..500 {
            assert_eq!(ask().await.status, 200);
        }
    };
    // Five hundred slow hashes would take half a minute.
    tokio::time::timeout(Duration::from_secs(5), all).await.unwrap();
}

#[tokio::test]
async fn a_token_that_left_its_file_is_refused_within_two_seconds() {
    let desk = Desk::new();
    let stop = CancellationToken::new();
    tokio::spawn(desk.auth.clone().follow(stop.clone()));
    let status = async |token: &str| desk.send(get("/api/v1/me").token(token)).await.status;
    assert_eq!(status(&desk.operator).await, 200);
    assert_eq!(status(&desk.viewer).await, 200);

    desk.write(&desk.lines[..1]);
    let gone = async {
        while status(&desk.operator).await == 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), gone).await.unwrap();
    assert_eq!(status(&desk.viewer).await, 200);

    // A file that cannot be understood changes nothing; an empty one lets nobody in.
    desk.write(&["what is this".to_owned()]);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(status(&desk.viewer).await, 200);
    desk.write(&[]);
    let gone = async {
        while status(&desk.viewer).await == 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), gone).await.unwrap();
    stop.cancel();
}

#[test]
fn a_line_that_cannot_be_used_is_named_and_its_hash_is_not_shown() {
    let good = made("ada", Role::Viewer).line;
    let hash = good.split("hash = \"").nth(1).unwrap().trim_end_matches("\" }");
    let desk = |text: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        std::fs::write(&file, text).unwrap();
        super::super::tokens::Tokens::open(file).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let cases = [
        (good.replace("viewer", "god"), "`role` is viewer, operator or admin"),
        (good.replace("name = \"ada\"", "name = \" \""), "`name` says whose it is"),
        (good.replace("argon2id", "argon2i"), "`hash` must be as"),
        (good.replace("m=19456", "m=4194304"), "would cost more than"),
        (good.replace("$argon2id", "plain"), "`hash` must be as"),
        (good.replace(" }", ", until = \"soon\" }"), "`until` must be a day"),
        (good.replace(" }", ", colour = \"red\" }"), "unknown field"),
        (format!("{good}\n{good}"), "duplicate key"),
        (format!("x = \"{hash}\""), "line 1"),
        (format!("{good}\nnonsense"), "line 2"),
    ];
    assert_eq!(desk(&good), "");
    for (text, expected) in cases {
        let told = desk(&text);
        assert!(told.contains("`admin.tokens_file`") && told.contains(expected), "{text}\n{told}");
        assert!(!told.contains(&hash[hash.len() - 20..]), "{told}");
    }
}

#[tokio::test]
async fn bodies_are_bounded_in_size_and_time() {
    let desk = Desk::new();
    let large = roll_back().token(&desk.operator).body(vec![b' '; (1 << 20) + 1]);
    desk.send(large).await.is(413, "TOO_LARGE");
    // A stranger's body is not even read.
    desk.send(roll_back().body(vec![b' '; (1 << 20) + 1])).await.is(401, "UNAUTHENTICATED");
    assert_eq!(desk.send(get("/api/v1/me").token(&desk.operator)).await.status, 200);
    tokio::time::pause();
    let never = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    desk.send(roll_back().token(&desk.operator).body(never)).await.is(408, "TOO_SLOW");
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
