//! `callboard publish CHANNEL`.

use std::io::{self, Write};

use callboard_proto::gateway::v1::{PublishRequest, publish_request::Message};
use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    args::Global,
    commands::invoke::{
        argument_text, created_at_ms, milliseconds, name_and_value, retry_with_same_id,
    },
    failure::Failure,
    output::{Format, Noun},
    payload,
};

/// What to say.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    callboard publish news -d '{\"title\": \"It rains\"}'\n  \
    callboard publish news -d @message.json --key message-17")]
pub(crate) struct PublishArgs {
    /// The channel; it need not have been made before
    channel: String,

    /// The message as JSON; @FILE reads a file, - reads stdin
    #[arg(short, long, value_name = "JSON|@FILE|-")]
    data: Option<String>,

    /// The request id: messages with the same one are said once. Best a UUIDv7, which holds the time of the first try;
    /// drawn anew if left out
    #[arg(long, value_name = "REQUEST_ID")]
    key: Option<String>,

    /// Text that travels with the message; may be given many times
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    metadata: Vec<(String, String)>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Publication {
    channel: String,
    request_id: String,
    types: u32,
}

impl Noun for Publication {
    const KIND: &'static str = "Publication";
    const COLUMNS: &'static [&'static str] = &["CHANNEL", "REQUEST ID", "TYPES"];

    fn cells(&self) -> Vec<String> {
        vec![self.channel.clone(), self.request_id.clone(), self.types.to_string()]
    }

    fn name(&self) -> String {
        self.request_id.clone()
    }

    fn describe(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.request_id)
    }
}

// === impl PublishArgs ===

impl PublishArgs {
    /// Says the message and prints its request id.
    pub(super) async fn run(self, global: &Global) -> Result<(), Failure> {
        let message = match argument_text(self.data.as_deref())? {
            Some(text) => Some(Message::Json(payload::from_text(&text)?)),
            None => None,
        };
        let request_id = self.key.unwrap_or_else(|| Uuid::now_v7().to_string());
        let request = PublishRequest {
            system: global.system.clone(),
            channel: self.channel.clone(),
            message,
            created_at_ms: created_at_ms(&request_id),
            request_id: request_id.clone(),
            metadata: self.metadata.into_iter().collect(),
            timeout_ms: milliseconds(global.timeout),
        };
        let connection = global.connect().await?;
        let answer = connection
            .answer(connection.gateway().publish(request))
            .await
            .map_err(|failure| retry_with_same_id(failure, &request_id))?;
        if global.output == Format::Table {
            let text = match answer.types {
                0 => "said; no actor type listens to the channel".to_owned(),
                1 => "said; one actor type listens".to_owned(),
                types => format!("said; {types} actor types listen"),
            };
            global.talk().note(&text);
        }
        let (channel, request_id, types) = (self.channel, answer.request_id, answer.types);
        Ok(global.printer().one(&Publication { channel, request_id, types })?)
    }
}

#[cfg(test)]
mod tests {
    use crate::output::Printer;

    use super::*;

    fn printed(format: Format) -> String {
        let publication = Publication {
            channel: "news".into(),
            request_id: "0193a0c4-0000-7000-8000-000000000001".into(),
            types: 2,
        };
        let mut out = Vec::new();
        Printer::new(format, &mut out).one(&publication).expect("a vector takes everything");
        String::from_utf8(out).expect("output is text")
    }

    #[test]
    fn the_json_contract_of_a_publication_holds() {
        insta::assert_snapshot!(printed(Format::Json), @r#"
        {
          "apiVersion": "callboard.io/cli/v1",
          "kind": "Publication",
          "channel": "news",
          "requestId": "0193a0c4-0000-7000-8000-000000000001",
          "types": 2
        }
        "#);
    }

    #[test]
    fn people_get_the_request_id_with_which_a_repetition_says_nothing_twice() {
        assert_eq!(printed(Format::Table), "0193a0c4-0000-7000-8000-000000000001\n");
    }
}
