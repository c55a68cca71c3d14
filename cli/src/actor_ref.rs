//! How an actor is named on the command line: `TYPE/KEY`, or `TYPE` alone where there is only one.

use std::{fmt, str::FromStr};

use callboard_proto::types::v1::ActorId;

/// An actor without its system, which `--system` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActorRef {
    /// The actor type.
    pub(crate) actor_type: String,
    /// The key; empty for a NAMED actor, whose key the server knows.
    pub(crate) key: String,
}

// === impl ActorRef ===

impl ActorRef {
    /// The full name.
    pub(crate) fn in_system(&self, system: &str) -> ActorId {
        ActorId {
            system: system.to_owned(),
            r#type: self.actor_type.clone(),
            key: self.key.clone(),
        }
    }
}

impl FromStr for ActorRef {
    type Err = String;

    /// Splits at the first slash: a type name has none, a key may have many.
    fn from_str(text: &str) -> Result<Self, String> {
        let (actor_type, key) = match text.split_once('/') {
            Some((_, "")) => return Err("the key after the slash is empty".into()),
            Some((actor_type, key)) => (actor_type, key),
            None => (text, ""),
        };
        if actor_type.is_empty() {
            return Err("the actor type before the slash is empty".into());
        }
        Ok(Self { actor_type: actor_type.to_owned(), key: key.to_owned() })
    }
}

impl fmt::Display for ActorRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.actor_type)?;
        if !self.key.is_empty() {
            write!(f, "/{}", self.key)?;
        }
        Ok(())
    }
}

/// Names an actor as the command line does.
pub(crate) fn name_of(actor: &ActorId) -> String {
    ActorRef { actor_type: actor.r#type.clone(), key: actor.key.clone() }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Result<(String, String), String> {
        text.parse::<ActorRef>().map(|actor| (actor.actor_type, actor.key))
    }

    #[test]
    fn the_first_slash_ends_the_type_and_later_ones_belong_to_the_key() {
        assert_eq!(parts("Counter/u1"), Ok(("Counter".into(), "u1".into())));
        assert_eq!(parts("File/a/b//c"), Ok(("File".into(), "a/b//c".into())));
    }

    #[test]
    fn a_type_alone_names_its_only_actor() {
        assert_eq!(parts("Leader"), Ok(("Leader".into(), String::new())));
    }

    #[test]
    fn half_a_name_is_refused() {
        assert!(parts("Counter/").is_err());
        assert!(parts("/u1").is_err());
        assert!(parts("").is_err());
    }
}
