//! Actors that talk: what they set going leaves marks, which must all be there once at the end. The host in Rust runs them.
//!
//! | type | durability | what it does |
//! |---|---|---|
//! | ChaosTeller | durable | tells others to add, passes calls on, says things on a channel |
//! | ChaosHearer | durable | hears every message of the channel, once it has joined |
//! | ChaosAlarm | durable | is called by schedules |

use callboard_proto::{
    host::v1::{Broadcast, Effect, NextCall, Turn, Workflow, workflow::Next},
    types::v1::{
        ActionDefinition, ActorTypeDefinition, ChannelSubscription, Deliver, Durability, Kind,
        Payload,
    },
};
use callboard_types::Millis;
use rand::{Rng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    actors,
    history::{Act, Told},
    host::IDLE_MS,
};
use crate::check::once;

/// Actors that tell, relay and say.
pub const TELLER: &str = "ChaosTeller";
/// Actors that hear.
pub const HEARER: &str = "ChaosHearer";
/// Actors that schedules call.
pub const ALARM: &str = "ChaosAlarm";
/// What hearers listen to.
pub const CHANNEL: &str = "chaos";
/// The keys of all hearers.
pub const HEARERS: [&str; 4] = ["one", "two", "three", "four"];

/// How long the keys of tellers are used before new ones take their place.
const TELLER_SECONDS: f64 = 60.0;
/// How many tellers are in use at a time.
const TELLERS: usize = 16;
/// The longest delay of an effect, in milliseconds.
const DELAY_MAX_MS: u64 = 1_500;

/// Draws an act of a teller, and the teller.
pub fn draw(random: &mut StdRng, seconds: f64) -> (String, Act) {
    let generation = (seconds / TELLER_SECONDS) as u64;
    let key = |index: usize| format!("t{generation}-{index}");
    let amount = random.random_range(1..100);
    let mut keys = rand::seq::index::sample(random, TELLERS, 3).into_iter().map(key);
    let first = keys.next().unwrap_or_default();
    let act = match random.random_range(0..10) {
        0..5 => {
            let to = keys.take(random.random_range(1..=2)).map(|key| Told {
                key,
                delay_ms: if random.random_ratio(1, 4) {
                    random.random_range(1..DELAY_MAX_MS)
                } else {
                    0
                },
            });
            Act::Tell { amount, to: to.collect() }
        }
        5..9 => {
            let stations = random.random_range(1..=2);
            let route = std::iter::once(first.clone()).chain(keys.take(stations));
            Act::Relay { amount, route: route.collect(), pipe: random.random_bool(0.5) }
        }
        _ => Act::Say { amount },
    };
    (first, act)
}

/// The action and argument of an act of a teller; `None` if it is none.
#[must_use]
pub fn request(number: u64, act: &Act) -> Option<(&'static str, Option<Payload>)> {
    let (action, argument) = match act {
        Act::Tell { amount, to } => {
            let to: Vec<_> = to.iter().map(|told| json!([told.key, told.delay_ms])).collect();
            ("tell", json!({"add": number, "amount": amount, "to": to}))
        }
        Act::Relay { amount, route, pipe } => {
            ("relay", json!({"add": number, "amount": amount, "route": route, "pipe": pipe}))
        }
        Act::Say { amount } => ("say", json!({"add": number, "amount": amount})),
        _ => return None,
    };
    Some((action, Some(actors::payload(&argument))))
}

/// What one of these actors keeps.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    total: u64,
    /// Cause, amount, number of the occurrence and time of each turn.
    marks: Vec<(u64, u32, u64, i64)>,
}

/// Reads an actor's state; `None` if it is torn. No bytes are an actor that was never called.
#[must_use]
pub fn marks(data: &[u8]) -> Option<once::Marks> {
    let State { total, marks } = read(data)?;
    let marks = marks.into_iter();
    let mark = |(cause, amount, number, at_ms)| once::Mark { cause, amount, number, at_ms };
    Some(once::Marks { total, marks: marks.map(mark).collect() })
}

fn read(data: &[u8]) -> Option<State> {
    if data.is_empty() {
        return Some(State::default());
    }
    serde_json::from_slice(data).ok()
}

/// What a host offers.
#[must_use]
pub fn definitions() -> Vec<ActorTypeDefinition> {
    let definition = |name: &str, actions: &[&str]| ActorTypeDefinition {
        name: name.into(),
        kind: Kind::Unnamed as i32,
        durability: Durability::Durable as i32,
        actions: actions
            .iter()
            .map(|name| ActionDefinition { name: (*name).into(), ..ActionDefinition::default() })
            .collect(),
        idle_timeout_ms: IDLE_MS,
        ..ActorTypeDefinition::default()
    };
    let mut hearer = definition(HEARER, &["join", "hear"]);
    hearer.subscriptions = vec![ChannelSubscription {
        channel: CHANNEL.into(),
        action: "hear".into(),
        deliver: Deliver::Every as i32,
    }];
    vec![definition(TELLER, &["tell", "add", "relay", "say"]), hearer, definition(ALARM, &["ring"])]
}

/// What came of a turn.
#[derive(Debug)]
pub struct Done {
    /// The reply.
    pub reply: Value,
    /// The state afterwards.
    pub state: Value,
    /// What it sets going.
    pub workflow: Option<Workflow>,
}

/// Runs a turn of one of these actors; `None` if it cannot be run. Nobody looks whether a mark is there already: that it
/// comes once is the server's promise.
#[must_use]
pub fn run(key: &str, turn: &Turn, argument: &Value, state: &[u8]) -> Option<Done> {
    let mut state = read(state)?;
    if turn.action != "join" {
        let amount = u32::try_from(argument.get("amount")?.as_u64()?).ok()?;
        // The request id of a firing ends with the number of its occurrence.
        let number = match turn.action.as_str() {
            "ring" => turn.request_id.rsplit('-').next()?.parse().ok()?,
            _ => 0,
        };
        state.total += u64::from(amount);
        state.marks.push((argument.get("add")?.as_u64()?, amount, number, Millis::now().0));
    }
    let (count, total) = (state.marks.len(), state.total);
    let mut reply = json!({"count": count, "total": total});
    let mut workflow = None;
    match turn.action.as_str() {
        "tell" => workflow = Some(tell(argument)?),
        "say" => {
            let payload = Some(actors::payload(argument));
            let said = Broadcast { channel: CHANNEL.into(), payload, ..Broadcast::default() };
            workflow = Some(Workflow { broadcasts: vec![said], ..Workflow::default() });
        }
        "relay" => {
            let route = argument.get("route")?.as_array()?;
            let at = route.iter().position(|station| station.as_str() == Some(key))?;
            match route.get(at + 1).and_then(Value::as_str) {
                Some(next) => {
                    let target = Some(actors::id(TELLER, next));
                    let next = NextCall { target, action: "relay".into() };
                    let next = match argument.get("pipe")?.as_bool()? {
                        true => Next::Pipe(next),
                        false => Next::Forward(next),
                    };
                    workflow = Some(Workflow { next: Some(next), ..Workflow::default() });
                    reply = argument.clone();
                }
                None => reply = json!({"at": key, "count": count}),
            }
        }
        _ => {}
    }
    Some(Done { reply, state: serde_json::to_value(state).ok()?, workflow })
}

fn tell(argument: &Value) -> Option<Workflow> {
    let payload = actors::payload(argument);
    let told = argument.get("to")?.as_array()?;
    let effects = told.iter().map(|told| {
        Some(Effect {
            target: Some(actors::id(TELLER, told.get(0)?.as_str()?)),
            action: "add".into(),
            payload: Some(payload.clone()),
            delay_ms: told.get(1)?.as_u64()?,
            ..Effect::default()
        })
    });
    Some(Workflow { effects: effects.collect::<Option<_>>()?, ..Workflow::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(key: &str, action: &str, argument: &Value, state: &[u8]) -> Done {
        let request_id = "schedule-3-1-7".into();
        let turn = Turn { action: action.into(), request_id, ..Turn::default() };
        run(key, &turn, argument, state).expect("it is run")
    }

    #[test]
    fn a_turn_that_is_run_twice_leaves_two_marks() {
        let argument = json!({"add": 4, "amount": 9});
        let once = turn("a", "ring", &argument, b"").state.to_string();
        let twice = turn("a", "ring", &argument, once.as_bytes()).state.to_string();
        let marks = marks(twice.as_bytes()).expect("it is whole");
        assert_eq!((marks.total, marks.marks.len(), marks.marks[1].number), (18, 2, 7));
    }

    #[test]
    fn the_last_station_of_a_route_answers() {
        let argument = json!({"add": 1, "amount": 2, "route": ["a", "b"], "pipe": false});
        let first = turn("a", "relay", &argument, b"");
        let next = first.workflow.and_then(|flow| flow.next).expect("it goes on");
        let Next::Forward(call) = next else { panic!("it is forwarded") };
        assert_eq!(call.target.map(|target| target.key), Some("b".into()));
        let last = turn("b", "relay", &argument, b"");
        assert_eq!((last.reply, last.workflow), (json!({"at": "b", "count": 1}), None));
    }

    #[test]
    fn who_joins_has_a_state_without_marks() {
        let joined = turn("a", "join", &Value::Null, b"").state.to_string();
        assert_eq!(marks(joined.as_bytes()), Some(once::Marks::default()));
    }
}
