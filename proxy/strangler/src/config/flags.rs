//! Flags of an external provider that govern percentages.

use std::path::PathBuf;

use axum::http::Uri;

use super::Origins;
use super::check::{Checked, millis};
use super::raw::RawOpenFeature;
use control_plane::openfeature::{FLAGD, Flags, Limits, Source};
use net::outgoing::can_reach;

/// `None`: people and promotions alone change percentages.
pub(super) fn flags(raw: RawOpenFeature, origins: &Origins<'_>) -> Checked<Option<Flags>> {
    let interval = millis(raw.interval_ms, "openfeature.interval_ms", origins)?;
    let settle = millis(raw.settle_ms, "openfeature.settle_ms", origins)?;
    let raises_per_hour = usize::try_from(raw.raises_per_hour).ok().filter(|most| *most > 0).ok_or_else(|| {
        origins.rule("openfeature.raises_per_hour", "must be at least 1: leave the provider out to listen to no flag")
    })?;
    let limits = Limits { settle, raises_per_hour, past_gates: raw.past_gates };
    let key = "openfeature.source";
    let source = match (raw.provider.as_deref(), raw.source) {
        (None, None) => return Ok(None),
        (None, Some(_)) => {
            return Err(origins.rule("openfeature.provider", "is missing: set it to \"flagd\", or leave source out"));
        }
        (Some(FLAGD), Some(source)) => source,
        (Some(FLAGD), None) => {
            return Err(origins.rule(key, "is missing: give the path of a file in flagd's format, or host:port"));
        }
        (Some(_), _) => return Err(origins.rule("openfeature.provider", "must be \"flagd\"")),
    };
    Ok(Some(Flags { source: place(&source, key, origins)?, interval, limits }))
}

/// `host:port` and addresses are servers; everything else is a path.
fn place(source: &str, key: &'static str, origins: &Origins<'_>) -> Checked<Source> {
    let port = source.rsplit_once(':').map(|(_, port)| port.parse::<u16>().is_ok());
    let server = source.contains("://") || (!source.contains('/') && port == Some(true));
    if !server {
        return Ok(Source::File(PathBuf::from(source)));
    }
    let address = if source.contains("://") { source.to_owned() } else { format!("http://{source}") };
    let base: Uri = address.parse().map_err(|_| origins.rule(key, "is no address"))?;
    can_reach(&base, "flagd:8016").map_err(|rule| origins.rule(key, rule))?;
    Ok(Source::Server(base))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write;
    use std::path::Path;

    use super::*;
    use crate::config::{Config, InvalidConfig};

    fn parse(text: &str) -> Result<Option<Flags>, InvalidConfig> {
        let least = "[sides.legacy]\nurl = \"postgres://a/b\"\n[sides.modern]\nurl = \"postgres://c/d\"\n";
        let text = format!("{least}[openfeature]\n{text}");
        Ok(Config::parse(&text, Path::new("strangler.toml"), BTreeMap::new())?.flags)
    }

    #[test]
    fn a_source_is_a_file_or_a_server() {
        let source =
            |source: &str| parse(&format!("provider = \"flagd\"\nsource = \"{source}\"")).unwrap().unwrap().source;
        for path in ["flags.json", "/etc/flags:1/x.json", "./a:b"] {
            assert_eq!(source(path), Source::File(path.into()));
        }
        assert_eq!(source("flagd:8016"), Source::Server("http://flagd:8016".parse().unwrap()));
        assert_eq!(source("http://flags.example/x"), Source::Server("http://flags.example/x".parse().unwrap()));
        assert_eq!(parse("").unwrap(), None);
    }

    #[test]
    fn every_mistake_names_its_key() {
        let mut report = String::new();
        for text in [
            "provider = \"other\"\nsource = \"a\"",
            "provider = \"flagd\"",
            "source = \"a\"",
            "provider = \"flagd\"\nsource = \"ftp://a\"",
            "interval_ms = 0",
            "settle_ms = 0",
            "raises_per_hour = 0",
        ] {
            writeln!(report, "{}\n  {}", text.replace('\n', " "), parse(text).unwrap_err()).unwrap();
        }
        insta::assert_snapshot!(report);
    }
}
