//! `callboard hosts list`.

use callboard_proto::control::v1::{self as control, ListHostsRequest};
use serde::Serialize;

use crate::{
    args::Global,
    failure::Failure,
    output::{self, Noun},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Host {
    session_id: u64,
    instance_id: String,
    sdk: String,
    runtime: String,
    types: Vec<String>,
    in_flight: u32,
    credits: u32,
    draining: bool,
    connected_at_ms: i64,
    remote_address: String,
}

impl From<control::Host> for Host {
    fn from(host: control::Host) -> Self {
        Self {
            session_id: host.session_id,
            instance_id: host.instance_id,
            sdk: host.sdk,
            runtime: host.runtime,
            types: host.types,
            in_flight: host.in_flight,
            credits: host.credits,
            draining: host.draining,
            connected_at_ms: host.connected_at_ms,
            remote_address: host.remote_address,
        }
    }
}

impl Noun for Host {
    const KIND: &'static str = "Host";
    const COLUMNS: &'static [&'static str] =
        &["SESSION", "SDK", "RUNTIME", "TYPES", "IN FLIGHT", "STATUS", "CONNECTED", "ADDRESS"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.session_id.to_string(),
            self.sdk.clone(),
            self.runtime.clone(),
            self.types.join(" "),
            format!("{}/{}", self.in_flight, self.credits),
            if self.draining { "draining" } else { "ready" }.into(),
            output::time(self.connected_at_ms),
            self.remote_address.clone(),
        ]
    }

    fn name(&self) -> String {
        self.session_id.to_string()
    }
}

/// Lists the host sessions.
pub(super) async fn run(global: &Global) -> Result<(), Failure> {
    let connection = global.connect().await?;
    let request = ListHostsRequest {};
    let answer = connection.answer(connection.hosts().list_hosts(request)).await?;
    let hosts: Vec<Host> = answer.hosts.into_iter().map(Host::from).collect();
    if hosts.is_empty() {
        global.talk().note("no host is connected");
    }
    Ok(global.printer().list(&hosts, false)?)
}

#[cfg(test)]
mod tests {
    use crate::output::{Format, Printer};

    use super::*;

    fn printed(format: Format) -> String {
        let host = Host::from(control::Host {
            session_id: 3,
            instance_id: "0193-abc".into(),
            sdk: "python/0.1.0".into(),
            runtime: "CPython 3.11".into(),
            types: vec!["default/Incrementor".into()],
            in_flight: 2,
            credits: 256,
            draining: false,
            connected_at_ms: 1_763_632_800_000,
            remote_address: "127.0.0.1:50123".into(),
        });
        let mut out = Vec::new();
        Printer::new(format, &mut out).list(&[host], false).expect("a vector takes everything");
        String::from_utf8(out).expect("output is text")
    }

    #[test]
    fn the_json_contract_of_hosts_holds() {
        insta::assert_snapshot!(printed(Format::Json), @r#"
        {
          "apiVersion": "callboard.io/cli/v1",
          "kind": "HostList",
          "items": [
            {
              "sessionId": 3,
              "instanceId": "0193-abc",
              "sdk": "python/0.1.0",
              "runtime": "CPython 3.11",
              "types": [
                "default/Incrementor"
              ],
              "inFlight": 2,
              "credits": 256,
              "draining": false,
              "connectedAtMs": 1763632800000,
              "remoteAddress": "127.0.0.1:50123"
            }
          ],
          "truncated": false
        }
        "#);
    }

    #[test]
    fn hosts_are_listed_in_columns_for_people() {
        insta::assert_snapshot!(printed(Format::Table), @"
        SESSION  SDK           RUNTIME       TYPES                IN FLIGHT  STATUS  CONNECTED             ADDRESS
        3        python/0.1.0  CPython 3.11  default/Incrementor  2/256      ready   2025-11-20T10:00:00Z  127.0.0.1:50123
        ");
    }
}
