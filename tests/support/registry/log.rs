//! [`Log`]: what was asked of the registry, and which requests waited for which.

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `GET`, `HEAD` …
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, empty when there is none.
    pub query: String,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// The whole `Authorization` header, secrets and all: tests look here for what leaked.
    pub authorization: Option<String>,
    /// The request's body (pushes: only its length matters, so it is kept for token requests
    /// alone).
    pub form: String,
    /// The status that was answered; none while it hangs or when the connection was dropped.
    pub status: Option<u16>,
    began: u64,
    ended: Option<u64>,
}

/// All requests, with a counter that orders their beginnings and ends.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: Vec<Entry>,
    tick: u64,
    in_flight: usize,
    most: usize,
}

impl Log {
    pub(crate) fn begin(&mut self, head: &http::request::Parts) -> usize {
        let header = |name| {
            head.headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        self.tick += 1;
        self.in_flight += 1;
        self.most = self.most.max(self.in_flight);
        self.entries.push(Entry {
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            user_agent: header(http::header::USER_AGENT).unwrap_or_default(),
            authorization: header(http::header::AUTHORIZATION),
            form: String::new(),
            status: None,
            began: self.tick,
            ended: None,
        });
        self.entries.len() - 1
    }

    pub(crate) fn form(&mut self, index: usize, form: String) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.form = form;
        }
    }

    pub(crate) fn end(&mut self, index: usize, status: Option<u16>) {
        self.tick += 1;
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(entry) = self.entries.get_mut(index) {
            entry.status = status;
            entry.ended = Some(self.tick);
        }
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.clone()
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.most = self.in_flight;
    }

    pub(crate) fn most_in_flight(&self) -> usize {
        self.most
    }

    /// Longest path in the order "ended before the other began"; entries are sorted by their
    /// beginning.
    pub(crate) fn series(&self) -> usize {
        let mut depth: Vec<usize> = Vec::new();
        for entry in &self.entries {
            let before = self
                .entries
                .iter()
                .zip(&depth)
                .filter(|(earlier, _)| earlier.ended.is_some_and(|at| at < entry.began));
            depth.push(1 + before.map(|(_, depth)| *depth).max().unwrap_or(0));
        }
        depth.into_iter().max().unwrap_or(0)
    }
}
