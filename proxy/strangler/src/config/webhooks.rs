//! Who is told of changes.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::Uri;
use model::WebhookName;
use model::control::Event;

use super::Origins;
use super::check::{Checked, millis, secret};
use super::raw::RawWebhook;
use contract::suggest;
use control_plane::webhooks::{Pauses, Secret, Webhook};
use net::outgoing::can_reach;

pub(super) fn webhooks(raw: Vec<RawWebhook>, origins: &Origins<'_>) -> Checked<Vec<Webhook>> {
    let mut webhooks: Vec<Webhook> = Vec::with_capacity(raw.len());
    for raw in raw {
        let webhook = webhook(raw, origins)?;
        if webhooks.iter().any(|known| known.name == webhook.name) {
            let rule = format!("`{}` is there twice: how far each was told is kept by its name", webhook.name);
            return Err(origins.rule("webhooks.name", rule));
        }
        webhooks.push(webhook);
    }
    Ok(webhooks)
}

fn webhook(raw: RawWebhook, origins: &Origins<'_>) -> Checked<Webhook> {
    let name = name(&raw.name, origins)?;
    let of = |rule: &str| format!("of `{name}` {rule}");
    let url = secret(raw.url, raw.url_file, "webhooks.url", "webhooks.url_file", origins)?;
    let url = url.ok_or_else(|| origins.rule("webhooks.url", of("is missing, and so is url_file")))?;
    let url: Uri = url.parse().map_err(|_| origins.rule("webhooks.url", of("is no address")))?;
    can_reach(&url, "chat.example/hooks/1").map_err(|rule| origins.rule("webhooks.url", of(&rule)))?;
    let key = secret(raw.secret, raw.secret_file, "webhooks.secret", "webhooks.secret_file", origins)?;
    let key = key.ok_or_else(|| origins.rule("webhooks.secret", of("is missing, and so is secret_file")))?;
    let hours = raw.give_up_hours;
    if !(1..=24 * 366).contains(&hours) {
        return Err(origins.rule("webhooks.give_up_hours", of("must be from 1 to 8784 (a year)")));
    }
    Ok(Webhook {
        url,
        secret: Secret::parse(&key).map_err(|error| origins.rule("webhooks.secret", of(&error.to_string())))?,
        events: events(&raw.events, &name, origins)?,
        within: millis(raw.timeout_ms, "webhooks.timeout_ms", origins)?,
        pauses: Pauses::default(),
        give_up: Duration::from_secs(hours * 3_600),
        name,
    })
}

fn name(name: &str, origins: &Origins<'_>) -> Checked<WebhookName> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=40).contains(&name.len()) || !name.bytes().all(plain) {
        let rule = "must be given, of at most 40 small letters, digits and dashes: it stands in metrics, and how far \
                    the webhook was told is kept by it";
        return Err(origins.rule("webhooks.name", rule));
    }
    Ok(WebhookName::new(name))
}

fn events(names: &[String], webhook: &WebhookName, origins: &Origins<'_>) -> Checked<BTreeSet<Event>> {
    if names.is_empty() {
        let every: Vec<&str> = Event::ALL.iter().map(|event| event.as_str()).collect();
        let rule = format!("of `{webhook}` must name what it is told of: {}", every.join(", "));
        return Err(origins.rule("webhooks.events", rule));
    }
    let event = |name: &String| {
        Event::named(name).ok_or_else(|| {
            let known = suggest::or_all(name, "", Event::ALL.iter().map(|event| event.as_str()));
            origins.rule("webhooks.events", format!("of `{webhook}`: there is no event `{name}`: {known}"))
        })
    };
    names.iter().map(event).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write;
    use std::path::Path;

    use super::*;
    use crate::config::{Config, InvalidConfig};

    fn parse(text: &str) -> Result<Vec<Webhook>, InvalidConfig> {
        let least = "[sides.legacy]\nurl = \"postgres://a/b\"\n[sides.modern]\nurl = \"postgres://c/d\"\n";
        let config = Config::parse(&format!("{least}{text}"), Path::new("strangler.toml"), BTreeMap::new())?;
        Ok(config.webhooks)
    }

    const CHAT: &str = "[[webhooks]]\nname = \"chat\"\nurl = \"http://chat.example/hooks/secret-path\"\n\
                        secret = \"0123456789abcdef01234567\"\nevents = [\"rolled-back\", \"guard-rolled-back\"]\n";

    #[test]
    fn a_webhook_is_understood_and_shows_neither_its_address_nor_its_secret() {
        let webhooks = parse(CHAT).unwrap();
        let [chat] = webhooks.as_slice() else { panic!("{webhooks:?}") };
        assert_eq!(chat.events, [Event::RolledBack, Event::GuardRolledBack].into());
        assert_eq!((chat.within, chat.give_up), (Duration::from_secs(5), Duration::from_secs(86_400)));
        let shown = format!("{webhooks:?}");
        assert!(!shown.contains("secret-path") && !shown.contains("0123"), "{shown}");
    }

    #[test]
    fn every_mistake_names_the_webhook_and_what_to_do() {
        let mut report = String::new();
        for (wrong, right) in [
            ("chat", "The Chat"),
            ("http://chat.example/hooks/secret-path", "chat.example"),
            ("http://chat.example/hooks/secret-path", "ftp://chat.example"),
            ("0123456789abcdef01234567", "short"),
            ("rolled-back", "rolled-bakc"),
            ("events = [\"rolled-back\", \"guard-rolled-back\"]", "events = []"),
            ("secret = ", "secret_file = "),
            ("name = ", "colour = "),
            ("events", "give_up_hours = 0\nevents"),
        ] {
            let error = parse(&CHAT.replacen(wrong, right, 1)).unwrap_err();
            writeln!(report, "{}\n  {error}", right.replace('\n', " ")).unwrap();
        }
        writeln!(report, "twice\n  {}", parse(&format!("{CHAT}{CHAT}")).unwrap_err()).unwrap();
        insta::assert_snapshot!(report);
    }
}
