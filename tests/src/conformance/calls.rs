//! A client program and the fake gateway that it calls, as scenarios hold them.

use std::time::Duration;

use callboard_proto::types::v1::{CallError, Retry};
use prost::Message;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    channels::{IncomingPublication, IncomingSubscription},
    check::{Failure, ensure},
    gateway::{Event, IncomingCall, Transport},
    program::{Program, Role},
    server::FakeServer,
    stage::{START, Stage},
    tools::ControlCall,
};

/// A client program and its server.
#[derive(Debug)]
pub struct Client {
    /// The server.
    pub server: FakeServer,
    /// The program.
    pub program: Program,
    next_id: u64,
}

impl Client {
    /// Starts a server and a client program.
    ///
    /// # Errors
    /// If either cannot be started.
    pub async fn start(stage: &Stage) -> Result<Self, Failure> {
        let server = stage.server().await?;
        let program = stage.program(Role::Client, &server)?;
        Ok(Client { server, program, next_id: 1 })
    }

    /// An `add` command without options, with an id of its own.
    pub fn command(&mut self, transport: Transport) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        add_command(id, transport)
    }

    /// Gives the program a command with the fields of `more` added, and answers its id.
    ///
    /// # Errors
    /// If the program takes no commands.
    pub async fn invoke(&mut self, transport: Transport, more: Value) -> Result<u64, Failure> {
        let mut command = self.command(transport);
        if let (Value::Object(command), Value::Object(more)) = (&mut command, more) {
            command.extend(more);
        }
        let id = command["id"].as_u64().unwrap_or_default();
        self.program.commands(&[command]).await?;
        Ok(id)
    }

    /// What the gateway sees next.
    ///
    /// # Errors
    /// If nothing comes in time.
    pub async fn event(&mut self) -> Result<Event, Failure> {
        match timeout(START, self.server.events.recv()).await {
            Ok(Some(event)) => Ok(event),
            _ => Err(Failure(format!("nothing came to the gateway within {START:?}"))),
        }
    }

    /// The next call; cancellations before it are passed over.
    ///
    /// # Errors
    /// If none comes in time.
    pub async fn call(&mut self) -> Result<IncomingCall, Failure> {
        loop {
            if let Event::Call(call) = self.event().await? {
                return Ok(*call);
            }
        }
    }

    /// The next publication; anything else before it is passed over.
    ///
    /// # Errors
    /// If none comes in time.
    pub async fn publication(&mut self) -> Result<IncomingPublication, Failure> {
        loop {
            if let Event::Publication(publication) = self.event().await? {
                return Ok(*publication);
            }
        }
    }

    /// The next stream of a subscription; anything else before it is passed over.
    ///
    /// # Errors
    /// If none comes in time.
    pub async fn subscription(&mut self) -> Result<IncomingSubscription, Failure> {
        loop {
            if let Event::Subscription(subscription) = self.event().await? {
                return Ok(*subscription);
            }
        }
    }

    /// The next call of a control method and its request.
    ///
    /// # Errors
    /// If none comes in time, or another method's.
    pub async fn control<M: Message + Default>(
        &mut self,
        method: &str,
    ) -> Result<(M, ControlCall), Failure> {
        loop {
            if let Event::Control(call) = self.event().await? {
                return Ok((call.request(method)?, *call));
            }
        }
    }

    /// Gives the program a command of this kind with these fields, and answers its id.
    ///
    /// # Errors
    /// If the program takes no commands.
    pub async fn tell(&mut self, op: &str, fields: Value) -> Result<u64, Failure> {
        let id = self.next_id;
        self.next_id += 1;
        let mut command = json!({"op": op, "id": id});
        if let (Value::Object(command), Value::Object(fields)) = (&mut command, fields) {
            command.extend(fields);
        }
        self.program.commands(&[command]).await?;
        Ok(id)
    }

    /// The result of the command with this id, which must be the next result.
    ///
    /// # Errors
    /// If another result comes, or none.
    pub async fn outcome(&mut self, id: u64) -> Result<Value, Failure> {
        let result = self.program.result().await?;
        let right = result["id"].as_u64() == Some(id);
        ensure(right, format!("expected the result of command {id}, got {result}"))?;
        Ok(result)
    }

    /// The reply of the command with this id.
    ///
    /// # Errors
    /// If it failed.
    pub async fn ok(&mut self, id: u64) -> Result<Value, Failure> {
        let result = self.outcome(id).await?;
        match result.get("ok") {
            Some(reply) if result.get("error").is_none() => Ok(reply.clone()),
            _ => Err(Failure(format!("command {id} should have gone well: {result}"))),
        }
    }

    /// The error of the command with this id.
    ///
    /// # Errors
    /// If it went well.
    pub async fn failed(&mut self, id: u64) -> Result<Value, Failure> {
        let result = self.outcome(id).await?;
        match result.get("error") {
            Some(error) if result.get("ok").is_none() => Ok(error.clone()),
            _ => Err(Failure(format!("command {id} should have failed: {result}"))),
        }
    }

    /// Fails if another call comes before the program, its commands ended, is gone.
    ///
    /// # Errors
    /// If a call comes or the program does not end with exit code 0.
    pub async fn no_more_calls(&mut self) -> Result<(), Failure> {
        self.program.no_more_commands();
        let status = self.program.ended(START).await?;
        ensure(status.success(), format!("the client program ended with {status}"))?;
        match timeout(Duration::from_millis(50), self.call()).await {
            Ok(Ok(call)) => Err(Failure(format!("a call too many: {:?}", call.request))),
            _ => Ok(()),
        }
    }
}

/// An `add` command without options.
pub fn add_command(id: u64, transport: Transport) -> Value {
    json!({
        "op": "invoke", "id": id, "type": "Counter", "key": "k", "action": "add",
        "argument": {"amount": 1}, "transport": transport.name(),
    })
}

/// An error as the server makes it.
pub fn server_error(reason: &str, code: i32, retry: Retry) -> CallError {
    CallError {
        code,
        reason: reason.to_owned(),
        message: format!("{reason} by the script"),
        retry: retry.into(),
        ..CallError::default()
    }
}
