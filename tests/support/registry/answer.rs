//! [`Rule`] and [`Answer`]: how a test makes the registry lie, fail, hang or flood.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;

/// The body type of every answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// What is answered in place of the truth.
#[derive(Debug, Clone)]
pub enum Answer {
    /// This status and an error body of the distribution-spec with this code.
    Status(u16, &'static str),
    /// Anything.
    Full { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// 200 and a body of this many zero bytes, of unknown length.
    Huge(usize),
    /// 200 and a body that never ends, a byte at a time.
    Endless(Duration),
    /// 200, the first bytes of a longer body, then the connection closes.
    Truncated(Vec<u8>),
    /// A redirect with this status to this address.
    Redirect(u16, String),
    /// No answer, ever.
    Hang,
    /// The connection is closed without an answer.
    Drop,
    /// The truth, later.
    Late(Duration),
}

/// Which requests are answered so; every field that is set must fit.
#[derive(Debug, Clone)]
pub struct Rule {
    method: Option<&'static str>,
    path: String,
    user_agent: Option<&'static str>,
    calls: RangeInclusive<usize>,
    answer: Answer,
}

impl Rule {
    /// All requests whose path contains `path`.
    pub fn new(path: impl Into<String>, answer: Answer) -> Self {
        Self { method: None, path: path.into(), user_agent: None, calls: 1..=usize::MAX, answer }
    }

    /// Only this method.
    pub fn method(self, method: &'static str) -> Self {
        Self { method: Some(method), ..self }
    }

    /// Only clients whose user agent contains this: the gate says `sealgate/`, the runtime
    /// `containerd/`.
    pub fn user_agent(self, user_agent: &'static str) -> Self {
        Self { user_agent: Some(user_agent), ..self }
    }

    /// Only these of the requests that otherwise fit, counted from 1.
    pub fn calls(self, calls: RangeInclusive<usize>) -> Self {
        Self { calls, ..self }
    }
}

/// A rule with the count of what fitted it.
#[derive(Debug)]
pub(crate) struct Armed {
    rule: Rule,
    fitted: usize,
}

impl Armed {
    pub(crate) fn new(rule: Rule) -> Self {
        Self { rule, fitted: 0 }
    }

    /// The answer when this request is one of those that the rule is for.
    pub(crate) fn fits(&mut self, head: &http::request::Parts) -> Option<Answer> {
        let agent = head
            .headers
            .get(http::header::USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let fits = head.uri.path().contains(&self.rule.path)
            && self.rule.method.is_none_or(|method| head.method == method)
            && self.rule.user_agent.is_none_or(|part| agent.contains(part));
        if !fits {
            return None;
        }
        self.fitted += 1;
        self.rule.calls.contains(&self.fitted).then(|| self.rule.answer.clone())
    }
}

/// The error body of the distribution-spec ("Error Codes").
pub(crate) fn error(status: u16, code: &str) -> http::Response<Body> {
    let body =
        format!(r#"{{"errors":[{{"code":"{code}","message":"said by the test registry"}}]}}"#);
    full(status, &[("content-type", "application/json".to_owned())], body.into_bytes())
}

pub(crate) fn full(
    status: u16,
    headers: &[(&'static str, String)],
    body: Vec<u8>,
) -> http::Response<Body> {
    let mut response = http::Response::new(
        Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed_unsync(),
    );
    *response.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    for (name, value) in headers {
        response.headers_mut().append(*name, value.parse().expect("a header value"));
    }
    response
}

/// The response of those answers that are one; the others are the caller's.
pub(crate) fn response(answer: Answer) -> Option<http::Response<Body>> {
    match answer {
        Answer::Status(status, code) => Some(error(status, code)),
        Answer::Full { status, headers, body } => Some(full(status, &headers, body)),
        Answer::Redirect(status, to) => Some(full(status, &[("location", to)], Vec::new())),
        Answer::Huge(length) => {
            let chunk = Bytes::from(vec![0; 64 * 1024]);
            let chunks = length.div_ceil(chunk.len());
            Some(streamed(stream::iter((0..chunks).map(move |_| Ok(Frame::data(chunk.clone()))))))
        }
        Answer::Endless(each) => Some(streamed(stream::unfold((), move |()| async move {
            tokio::time::sleep(each).await;
            Some((Ok(Frame::data(Bytes::from_static(b" "))), ()))
        }))),
        Answer::Truncated(bytes) => {
            let frames =
                [Ok(Frame::data(Bytes::from(bytes))), Err(std::io::Error::other("cut off"))];
            Some(streamed(stream::iter(frames)))
        }
        Answer::Hang | Answer::Drop | Answer::Late(_) => None,
    }
}

fn streamed<S>(frames: S) -> http::Response<Body>
where
    S: futures_util::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + 'static,
{
    http::Response::new(StreamBody::new(frames).boxed_unsync())
}
