//! One request to the collector: OTLP over HTTP
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>), in protobuf.

use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Message};
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::span::attribute;
use super::{TraceSettings, Who};
use crate::lifecycle::chain;

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends to one collector.
pub(super) struct Sending {
    client: Client,
    url: Url,
    resource: Resource,
}

/// Why a batch was not taken.
pub(super) struct Failed {
    /// For the log.
    pub(super) why: String,
    /// Whether it may be taken later.
    pub(super) passes: bool,
}

impl Sending {
    /// None: traces are off. Goes to the address in the settings and to no other: no redirect is followed,
    /// and a proxy that the environment names is not used.
    pub(super) fn new(
        settings: &TraceSettings,
        who: Who<'_>,
    ) -> Result<Option<Self>, reqwest::Error> {
        let Some(url) = settings.url.clone() else {
            return Ok(None);
        };
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        let mut headers: HeaderMap = settings.headers.clone();
        headers.insert(CONTENT_TYPE, protobuf);
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .no_proxy()
            .user_agent("switchboard")
            .default_headers(headers)
            .build()?;
        let said = [
            ("service.name", who.service),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", who.instance),
        ];
        let said = said.map(|(key, text)| attribute(key, Value::StringValue(text.to_owned())));
        let resource = Resource {
            attributes: said.into(),
            ..Resource::default()
        };
        Ok(Some(Self {
            client,
            url,
            resource,
        }))
    }

    /// These spans, as they are sent.
    pub(super) fn body(&self, spans: Vec<Message>) -> Bytes {
        let scope = InstrumentationScope {
            name: "switchboard".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let spans = ScopeSpans {
            scope: Some(scope),
            spans,
            ..ScopeSpans::default()
        };
        let spans = ResourceSpans {
            resource: Some(self.resource.clone()),
            scope_spans: vec![spans],
            ..ResourceSpans::default()
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![spans],
        };
        request.encode_to_vec().into()
    }

    pub(super) async fn post(&self, body: &Bytes) -> Result<(), Failed> {
        let request = self.client.post(self.url.clone()).body(body.clone());
        let status = match request.send().await {
            Ok(answer) => answer.status().as_u16(),
            // The URL stays out of it: it may hold a token.
            Err(error) => {
                return Err(Failed {
                    why: chain(&error.without_url()),
                    passes: true,
                });
            }
        };
        match status {
            200..=299 => Ok(()),
            _ => Err(Failed {
                why: format!("status {status}"),
                // As OTLP has it.
                passes: matches!(status, 429 | 502 | 503 | 504),
            }),
        }
    }
}
