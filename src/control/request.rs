//! What may be asked.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{ErrorCode, ErrorRecord};

/// The longest request line in bytes, its newline not counted.
pub const MAX_REQUEST: usize = 4096;

/// A request: one line of JSON.
///
/// [`Request::NAMES`] has to name every variant; a test holds the two together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How all virtual routers are, or the one named.
    Status {
        /// Name of the one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Everything about one virtual router.
    Show {
        /// Its name.
        name: String,
    },
    /// Why one virtual router is what it is, and what would make it master.
    Explain {
        /// Its name.
        name: String,
    },
    /// What has been counted: everywhere, or for the virtual router named.
    Stats {
        /// Name of the one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// How timely the daemon is.
    Latency {},
    /// Who answers.
    Version {},
    /// That the configuration be read again; answered when that has been done.
    Reload {},
}

impl Request {
    /// The requests there are, as the `request` field names them.
    pub const NAMES: [&str; 7] =
        ["status", "show", "explain", "stats", "latency", "version", "reload"];

    /// Reads a request from one line.
    ///
    /// # Errors
    /// The record to answer with: [`ErrorCode::BadRequest`] if the line is no JSON object or its
    /// fields are not right, [`ErrorCode::UnknownRequest`] if there is no such request.
    pub fn parse(line: &[u8]) -> Result<Request, ErrorRecord> {
        // In two steps, so that an unknown request is told from a known one with wrong fields.
        let value: Value = serde_json::from_slice(line)
            .map_err(|error| bad(format!("the request is not JSON: {error}")))?;
        let name = match &value {
            Value::Object(fields) => fields.get("request").and_then(Value::as_str),
            _ => return Err(bad("the request is not a JSON object".into())),
        };
        let Some(name) = name else {
            return Err(bad("the request has no field \"request\" that names it".into()));
        };
        if !Self::NAMES.contains(&name) {
            return Err(ErrorRecord {
                code: ErrorCode::UnknownRequest,
                message: format!(
                    "there is no request {:?}; there are: {}",
                    excerpt(name),
                    Self::NAMES.join(", ")
                ),
                candidates: Self::NAMES.map(String::from).into(),
            });
        }
        let name = name.to_owned();
        serde_json::from_value(value)
            .map_err(|error| bad(format!("the fields of request {name} are not right: {error}")))
    }

    /// The request as its line, newline included.
    pub fn to_line(&self) -> String {
        // Strings and options of strings always have a JSON form.
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }
}

/// The beginning of a text that someone sent, short enough to be repeated in an error.
pub(super) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 64;
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn bad(message: String) -> ErrorRecord {
    ErrorRecord {
        code: ErrorCode::BadRequest,
        message: excerpt_message(message),
        candidates: vec![],
    }
}

/// serde's messages may repeat a field's name, which may be as long as the line.
fn excerpt_message(mut message: String) -> String {
    const LONGEST: usize = 256;
    if let Some((end, _)) = message.char_indices().nth(LONGEST) {
        message.truncate(end);
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all() -> Vec<Request> {
        let name = || "VI_1".to_owned();
        vec![
            Request::Status { name: None },
            Request::Status { name: Some(name()) },
            Request::Show { name: name() },
            Request::Explain { name: name() },
            Request::Stats { name: None },
            Request::Stats { name: Some(name()) },
            Request::Latency {},
            Request::Version {},
            Request::Reload {},
        ]
    }

    #[test]
    fn lines_read_back_and_every_request_is_named() {
        let mut seen = std::collections::BTreeSet::new();
        for request in all() {
            let line = request.to_line();
            assert_eq!(Request::parse(line.trim_end().as_bytes()), Ok(request), "{line}");
            let value: Value = serde_json::from_str(&line).unwrap();
            seen.insert(value["request"].as_str().unwrap().to_owned());
        }
        assert_eq!(seen, Request::NAMES.map(String::from).into());
        // serde knows no variant that NAMES does not: it lists them itself.
        let error = serde_json::from_str::<Request>(r#"{"request":"?"}"#).unwrap_err().to_string();
        assert_eq!(error.matches('`').count(), 2 * (Request::NAMES.len() + 1), "{error}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, code, words) in [
            ("", ErrorCode::BadRequest, "not JSON"),
            ("status", ErrorCode::BadRequest, "not JSON"),
            ("[1]", ErrorCode::BadRequest, "not a JSON object"),
            ("{}", ErrorCode::BadRequest, "no field \"request\""),
            (r#"{"request":7}"#, ErrorCode::BadRequest, "no field \"request\""),
            (
                r#"{"request":"reboot"}"#,
                ErrorCode::UnknownRequest,
                "status, show, explain, stats, latency, version",
            ),
            (r#"{"request":"show"}"#, ErrorCode::BadRequest, "missing field `name`"),
            (r#"{"request":"show","name":1}"#, ErrorCode::BadRequest, "expected a string"),
            (r#"{"request":"show","nmae":"x"}"#, ErrorCode::BadRequest, "unknown field `nmae`"),
            (r#"{"request":"version","x":1}"#, ErrorCode::BadRequest, "unknown field `x`"),
            (r#"{"request":"status"} {}"#, ErrorCode::BadRequest, "trailing characters"),
        ] {
            let error = Request::parse(line.as_bytes()).unwrap_err();
            assert_eq!(error.code, code, "{line}");
            assert!(error.message.contains(words), "{line}: {}", error.message);
        }
    }

    #[test]
    fn deep_nesting_and_long_words_are_refused_in_few_words() {
        let deep = "[".repeat(MAX_REQUEST);
        assert_eq!(Request::parse(deep.as_bytes()).unwrap_err().code, ErrorCode::BadRequest);
        for line in [
            format!(r#"{{"request":"{}"}}"#, "é".repeat(2000)),
            format!(r#"{{"request":"version","{}":1}}"#, "x".repeat(4000)),
        ] {
            assert!(Request::parse(line.as_bytes()).unwrap_err().message.len() < 800);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::parse(&bytes);
        }
    }
}
