//! Which media type an answer has, and which a request may have. GraphQL over HTTP, sections 4 and 6.

use axum::http::StatusCode;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName};

use super::answer::{Answer, Data};

/// The media type of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    /// `application/json`: 200 for whatever GraphQL has to say.
    Json,
    /// `application/graphql-response+json`: 400 when the request was refused.
    GraphqlResponse,
}

impl Media {
    const JSON: &str = "application/json";
    const GRAPHQL: &str = "application/graphql-response+json";

    /// What the client accepts; `None` when we have nothing for it. Without an `Accept`, and for
    /// wildcards, it is JSON: such clients know nothing of the newer type.
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Self> {
        if !headers.contains_key(ACCEPT) {
            return Some(Self::Json);
        }
        let graphql = quality(headers, Self::GRAPHQL).unwrap_or(0);
        let json = quality(headers, Self::JSON)
            .or_else(|| quality(headers, "application/*"))
            .or_else(|| quality(headers, "*/*"))
            .unwrap_or(0);
        match (graphql, json) {
            (0, 0) => None,
            (graphql, json) if graphql >= json => Some(Self::GraphqlResponse),
            _ => Some(Self::Json),
        }
    }

    /// The value of `Content-Type`.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
        }
    }

    /// The status of an answer.
    pub(crate) fn status(self, answer: &Answer) -> StatusCode {
        match (answer.status, self, &answer.data) {
            (Some(status), _, _) => status,
            (None, Self::GraphqlResponse, Data::Absent) => StatusCode::BAD_REQUEST,
            (None, Self::GraphqlResponse, Data::Null | Data::Json(_)) | (None, Self::Json, _) => StatusCode::OK,
        }
    }
}

/// Whether the client is a browser that wants a page.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    quality(headers, "text/html").is_some_and(|quality| quality > 0)
}

/// Whether the body is JSON in UTF-8. Nothing else is taken: the types that a browser sends across
/// origins without asking first are not JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let mut entries = entries(headers, CONTENT_TYPE);
    let (Some(entry), None) = (entries.next(), entries.next()) else {
        return false;
    };
    let mut parts = entry.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|media| media.eq_ignore_ascii_case(Media::JSON));
    let utf8 = |part: &str| match part.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            let value = value.trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
        }
        _ => true,
    };
    is_json && parts.all(utf8)
}

/// The quality of `media` in thousandths, if it is named.
fn quality(headers: &HeaderMap, media: &str) -> Option<u16> {
    let named = entries(headers, ACCEPT).filter_map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(media) {
            return None;
        }
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        Some(weight.map_or(1_000, thousandths))
    });
    named.max()
}

/// `0.5` is 500; nonsense is 0.
fn thousandths(weight: &str) -> u16 {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = format!("{whole}{fraction:0<3}");
    digits.parse().map_or(0, |weight: u16| weight.min(1_000))
}

fn entries(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &str) -> Option<Media> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, value.parse().unwrap());
        Media::accepted(&headers)
    }

    #[test]
    fn the_answer_has_the_type_that_the_client_prefers() {
        let cases = [
            ("application/json", Some(Media::Json)),
            ("*/*", Some(Media::Json)),
            ("application/*", Some(Media::Json)),
            ("application/graphql-response+json", Some(Media::GraphqlResponse)),
            ("application/json, application/graphql-response+json", Some(Media::GraphqlResponse)),
            ("application/graphql-response+json;q=0.5, application/json", Some(Media::Json)),
            ("application/graphql-response+json; charset=utf-8, */*;q=0.1", Some(Media::GraphqlResponse)),
            ("text/html", None),
            ("application/json;q=0", None),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Some(Media::Json)),
        ];
        for (value, expected) in cases {
            assert_eq!(accept(value), expected, "{value}");
        }
        assert_eq!(Media::accepted(&HeaderMap::new()), Some(Media::Json));
    }

    #[test]
    fn only_json_in_utf8_is_taken() {
        let cases = [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json; charset=\"utf-8\"", true),
            ("application/json; charset=latin1", false),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("multipart/form-data; boundary=application/json", false),
            ("application/jsonp", false),
        ];
        for (value, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(is_json(&headers), expected, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
