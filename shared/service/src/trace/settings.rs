//! Whether and where traces go.

use std::fmt;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::settings::{Key, Secret, Values};

const ENDPOINT: &str = "trace.endpoint";
const SAMPLE: &str = "trace.sample";
const HEADERS: &str = "trace.headers";

/// What a collector takes traces at, under its address.
const PATH: &str = "/v1/traces";

/// Whether and where traces go.
#[derive(Clone, Default)]
pub struct TraceSettings {
    /// Where spans are posted to; none: traces are off.
    pub(super) url: Option<Url>,
    /// The share of messages that begin a trace.
    pub(super) sample: f64,
    /// What a collector wants to be told with each request.
    pub(super) headers: HeaderMap,
}

impl fmt::Debug for TraceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceSettings")
            .field("on", &self.url.is_some())
            .field("sample", &self.sample)
            .finish_non_exhaustive()
    }
}

impl TraceSettings {
    /// Its keys.
    pub const KEYS: &[Key] = &[
        Key::bare(
            "trace.endpoint",
            "collector that takes traces by OTLP over HTTP, as http://collector:4318 [default: none: traces are off]",
        ),
        Key::new(
            "trace.sample",
            "0.01",
            "share of commands that are traced, 0 to 1, where requests do not say it themselves",
        ),
        Key::secret(
            "trace.headers",
            "headers of requests to the collector: name=value, separated by commas",
        ),
    ];

    /// Reads them.
    pub fn read(values: &mut Values) -> Self {
        let url = values.optional::<String>(ENDPOINT).and_then(|text| {
            let url = endpoint(&text);
            if url.is_none() {
                let expected = "expected http:// or https:// with a host, as http://collector:4318, and nothing else: \
                                what the collector must know goes into trace.headers";
                values.mistake(ENDPOINT, expected);
            }
            url
        });
        let headers = values.optional::<Secret>(HEADERS).map(|text| {
            let headers = headers(text.expose());
            if headers.is_none() {
                let expected = "expected name=value, separated by commas";
                values.mistake(HEADERS, expected);
            }
            headers.unwrap_or_default()
        });
        Self {
            url,
            sample: values.within(SAMPLE, 0.0..=1.0),
            headers: headers.unwrap_or_default(),
        }
    }
}

/// The collector's address, with the path unless it is there already.
fn endpoint(text: &str) -> Option<Url> {
    let mut url = Url::parse(text.trim()).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        // It is shown by check-config and in logs; what is secret stands in the headers.
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    let path = url.path().trim_end_matches('/').to_owned();
    if !path.ends_with(PATH) {
        url.set_path(&(path + PATH));
    }
    plain.then_some(url)
}

fn headers(text: &str) -> Option<HeaderMap> {
    let pairs = text.split(',').map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        let mut value = HeaderValue::from_str(value.trim()).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_added_unless_it_is_there() {
        let to = |text| endpoint(text).map(String::from);
        for (text, url) in [
            ("http://c:4318", "http://c:4318/v1/traces"),
            ("https://c/otlp/", "https://c/otlp/v1/traces"),
            ("http://c:4318/v1/traces", "http://c:4318/v1/traces"),
        ] {
            assert_eq!(to(text).as_deref(), Some(url));
        }
        for wrong in [
            "collector:4318",
            "http://",
            "grpc://c:4317",
            "http://c/?x=1",
            "http://token@c:4318",
            "http://name:word@c:4318",
            "c",
        ] {
            assert_eq!(to(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn headers_are_pairs() {
        let read = headers("Authorization=Bearer a=b , x-tenant=7").unwrap();
        assert_eq!(read["authorization"], "Bearer a=b");
        assert_eq!(read["x-tenant"], "7");
        assert!(!format!("{read:?}").contains("Bearer"));
        for wrong in ["token", "a b=c", "x=1,,y=2", "x=a\nb"] {
            assert!(headers(wrong).is_none(), "{wrong}");
        }
    }
}
