//! Mails about changes (keepalived's `smtp_alert`): each is sent by another process of this program,
//! since a mail server may be slow, or its name take long to look up.

use std::process::ExitCode;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::extension::ClientId;
use lettre::{Message, SmtpTransport, Transport};

use crate::config::Mail;

/// The first argument of a process that is to send a mail.
const ORDER: &str = "--viprd-send-mail";

/// The arguments of a process that sends mails as `settings` say; subject and text follow them.
pub(super) fn arguments(settings: &Mail, host: &str) -> Vec<String> {
    let from = settings.from.clone().unwrap_or_else(|| format!("keepalived@{host}"));
    let (server, port) = settings.server.clone().unwrap_or_else(|| ("127.0.0.1".into(), 25));
    let helo = settings.helo.clone().unwrap_or_else(|| host.to_owned());
    let timeout = settings.connect_timeout.as_nanos().to_string();
    let to = settings.to.join(",");
    vec!["viprd".into(), ORDER.into(), server, port.to_string(), helo, timeout, from, to]
}

/// If this process is to send a mail, does so, and returns how it is to exit.
pub(super) fn sent(words: &[String]) -> Option<ExitCode> {
    let (first, order) = words.split_first()?;
    if first != ORDER {
        return None;
    }
    Some(match send(order) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("mail not sent: {why}");
            ExitCode::FAILURE
        }
    })
}

fn send(order: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [server, port, helo, timeout, from, to, subject, text] = order else {
        return Err("an order has eight words".into());
    };
    let mut message = Message::builder().from(mailbox(from)?).subject(subject.as_str());
    for recipient in to.split(',') {
        message = message.to(mailbox(recipient)?);
    }
    let message = message.header(ContentType::TEXT_PLAIN).body(text.clone())?;
    let timeout: u64 = timeout.parse()?;
    // Zero would mean that nothing can ever be in time.
    let timeout = (timeout > 0).then(|| Duration::from_nanos(timeout));
    let transport = SmtpTransport::builder_dangerous(server.as_str())
        .port(port.parse()?)
        .hello_name(ClientId::Domain(helo.clone()))
        .timeout(timeout)
        .build();
    transport.send(&message)?;
    Ok(())
}

/// `NAME@HOST` or `Words <NAME@HOST>`.
fn mailbox(text: &str) -> Result<Mailbox, Box<dyn std::error::Error>> {
    text.parse().map_err(|cause| format!("{text:?} is no address for mail: {cause}").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Span;

    #[test]
    fn only_an_order_is_carried_out() {
        assert!(sent(&["-n".to_owned(), ORDER.to_owned()]).is_none());
        assert!(sent(&[]).is_none());
        assert!(send(&["127.0.0.1".to_owned()]).is_err());
    }

    #[test]
    fn what_is_not_set_has_keepaliveds_defaults() {
        let mail = Mail { to: vec!["a@example.com".into(), "b@x".into()], ..Mail::default() };
        let words = arguments(&Mail { connect_timeout: Span::from_secs(30), ..mail }, "gate");
        let expected = ["viprd", ORDER, "127.0.0.1", "25", "gate", "30000000000"];
        assert_eq!(words[..6], expected);
        assert_eq!(words[6..], ["keepalived@gate", "a@example.com,b@x"]);
    }

    #[test]
    fn addresses() {
        for good in ["a@example.com", "keepalived@gate", "Admin <root@localhost>"] {
            assert!(mailbox(good).is_ok(), "{good}");
        }
        assert!(mailbox("nobody").is_err());
    }
}
