//! `callboard subscribe CHANNEL…`.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use callboard_proto::gateway::v1::{
    ChannelMessage, SubscribeRequest, channel_message::Body, subscribe_response::Item,
};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use tokio_stream::StreamExt as _;

use crate::{
    actor_ref::name_of,
    args::Global,
    failure::{Exit, Failure, Retry},
    output::{self, Format, Noun},
    payload,
};

/// What to hear.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    callboard subscribe news\n  \
    callboard subscribe news sports -o jsonl --count 10")]
pub(crate) struct SubscribeArgs {
    /// The channels
    #[arg(value_name = "CHANNEL", required = true)]
    channels: Vec<String>,

    /// Go on after a message that was heard before, by its resume token
    #[arg(long, value_name = "TOKEN")]
    resume: Option<String>,

    /// End after so many messages
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Heard {
    channel: String,
    id: String,
    message: Value,
    metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    published_at_ms: i64,
    resume_token: String,
}

impl Noun for Heard {
    const KIND: &'static str = "ChannelMessage";
    const COLUMNS: &'static [&'static str] = &["TIME", "CHANNEL", "MESSAGE"];

    fn cells(&self) -> Vec<String> {
        vec![output::time(self.published_at_ms), self.channel.clone(), self.message.to_string()]
    }

    fn name(&self) -> String {
        self.id.clone()
    }

    fn describe(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}  {}", self.channel, self.message)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Missed {
    /// How many; 0 if that is not known.
    messages: u64,
}

impl Noun for Missed {
    const KIND: &'static str = "MissedMessages";
    const COLUMNS: &'static [&'static str] = &["MISSED"];

    fn cells(&self) -> Vec<String> {
        vec![self.messages.to_string()]
    }

    fn name(&self) -> String {
        self.messages.to_string()
    }

    fn describe(&self, _: &mut dyn Write) -> io::Result<()> {
        // People are told on stderr: stdout is for messages.
        Ok(())
    }
}

// === impl SubscribeArgs ===

impl SubscribeArgs {
    /// Prints messages as they come. Ends with an interrupt, with the node, or after as many as were asked for.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let connection = global.connect().await?;
        let mut token = self.resume.unwrap_or_default();
        let request = SubscribeRequest {
            system: global.system.clone(),
            channels: self.channels,
            resume_token: token.clone(),
        };
        let mut stream = connection.answer(connection.gateway().subscribe(request)).await?;
        let mut printer = global.printer();
        let mut left = self.count.unwrap_or(u64::MAX);
        while left > 0 {
            let item = match stream.next().await {
                Some(Ok(message)) => message.item,
                Some(Err(status)) => return Err(resumed_by(status.into(), &token)),
                None => {
                    let text = "the node ended the stream; is it stopping?";
                    let ended = Failure::new(Exit::Unavailable, "STREAM_ENDED", text);
                    return Err(resumed_by(ended.retry(Retry::Safe), &token));
                }
            };
            match item {
                Some(Item::Subscribed(subscribed)) => {
                    global.talk().note("listening; end with Ctrl-C");
                    token = subscribed.resume_token;
                }
                Some(Item::Missed(missed)) => {
                    let missed = Missed { messages: missed.messages };
                    global.talk().note(&match missed.messages {
                        0 => "messages were missed, nobody knows how many".to_owned(),
                        count => format!("{count} messages were missed"),
                    });
                    if global.output != Format::Name {
                        printer.one(&missed)?;
                    }
                }
                Some(Item::Message(message)) => {
                    left -= 1;
                    let heard = Heard::from(message);
                    printer.one(&heard)?;
                    token = heard.resume_token;
                }
                None => {}
            }
        }
        Ok(())
    }
}

impl From<ChannelMessage> for Heard {
    fn from(message: ChannelMessage) -> Self {
        Self {
            channel: message.channel,
            id: message.id,
            message: match message.body {
                Some(Body::Json(json)) => payload::to_json(json),
                Some(Body::Payload(bytes)) => payload::readable(&bytes, &[]),
                None => Value::Null,
            },
            metadata: message.metadata.into_iter().collect(),
            source: message.source.as_ref().map(name_of),
            published_at_ms: message.published_at_ms,
            resume_token: message.resume_token,
        }
    }
}

fn resumed_by(failure: Failure, token: &str) -> Failure {
    failure.advice_also(&format!("go on with --resume {token}, here or at another node"))
}

#[cfg(test)]
mod tests {
    use crate::output::Printer;

    use super::*;

    fn printed(format: Format) -> String {
        let heard = Heard::from(ChannelMessage {
            channel: "news".into(),
            id: "1".into(),
            body: payload::from_text(r#"{"title": "It rains"}"#).ok().map(Body::Json),
            metadata: [("colour".to_owned(), "red".to_owned())].into(),
            source: None,
            published_at_ms: 1_700_000_000_000,
            resume_token: "a-1-2".into(),
        });
        let mut out = Vec::new();
        Printer::new(format, &mut out).one(&heard).expect("a vector takes everything");
        String::from_utf8(out).expect("output is text")
    }

    #[test]
    fn the_json_contract_of_a_message_holds() {
        insta::assert_snapshot!(printed(Format::Json), @r#"
        {
          "apiVersion": "callboard.io/cli/v1",
          "kind": "ChannelMessage",
          "channel": "news",
          "id": "1",
          "message": {
            "title": "It rains"
          },
          "metadata": {
            "colour": "red"
          },
          "publishedAtMs": 1700000000000,
          "resumeToken": "a-1-2"
        }
        "#);
    }

    #[test]
    fn people_get_a_line_per_message() {
        insta::assert_snapshot!(printed(Format::Table), @r#"news  {"title":"It rains"}"#);
    }
}
