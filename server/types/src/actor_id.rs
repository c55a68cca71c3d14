//! The name of an actor.

use std::{fmt, sync::Arc};

use crate::{error::CallError, error::ErrorKind, limits};

/// Names one actor: system, type and key, equal byte for byte or different.
///
/// Cheap to clone. Built by [`ActorId::parse`], so a value of this type has passed the naming rules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId {
    /// The group of actors.
    pub system: Arc<str>,
    /// The actor type.
    pub actor_type: Arc<str>,
    /// The key within the type.
    pub key: Arc<str>,
}

impl ActorId {
    /// Checks the parts and puts them together.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidActorKey`] names the part that breaks a rule and the rule.
    pub fn parse(system: &str, actor_type: &str, key: &str) -> Result<Self, CallError> {
        check_name("system", system)?;
        check_name("type", actor_type)?;
        check_key(key)?;
        Ok(Self { system: system.into(), actor_type: actor_type.into(), key: key.into() })
    }
}

impl fmt::Display for ActorId {
    /// Prints `system/type/key`, with control characters escaped so that a key cannot forge a log line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.system, self.actor_type, self.key.escape_debug())
    }
}

/// Checks the name of a system or a type: 1 to [`limits::NAME_BYTES_MAX`] bytes of ASCII letters, digits, `.`, `_`, `-`.
///
/// # Errors
/// [`ErrorKind::InvalidActorKey`] with the rule.
pub fn check_name(what: &str, name: &str) -> Result<(), CallError> {
    let fits = (1..=limits::NAME_BYTES_MAX).contains(&name.len());
    if fits && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
        return Ok(());
    }
    let shown: String = name.chars().take(40).collect();
    Err(CallError::new(
        ErrorKind::InvalidActorKey,
        format!(
            "the {what} name \"{}\" is not 1 to {} bytes of ASCII letters, digits, '.', '_' or '-'",
            shown.escape_debug(),
            limits::NAME_BYTES_MAX
        ),
    ))
}

/// Checks an actor key: 1 to [`limits::KEY_BYTES_MAX`] bytes without NUL.
///
/// # Errors
/// [`ErrorKind::InvalidActorKey`] with the rule.
pub fn check_key(key: &str) -> Result<(), CallError> {
    if !(1..=limits::KEY_BYTES_MAX).contains(&key.len()) {
        return Err(CallError::new(
            ErrorKind::InvalidActorKey,
            format!(
                "an actor key has 1 to {} bytes; this one has {}",
                limits::KEY_BYTES_MAX,
                key.len()
            ),
        ));
    }
    if key.bytes().any(|b| b == 0) {
        return Err(CallError::new(ErrorKind::InvalidActorKey, "an actor key has no NUL bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_in_one_byte_are_different_actors() {
        let composed = ActorId::parse("default", "Counter", "caf\u{e9}").expect("valid");
        let decomposed = ActorId::parse("default", "Counter", "cafe\u{301}").expect("valid");
        assert_ne!(composed, decomposed);
    }

    #[test]
    fn empty_huge_and_nul_keys_are_refused() {
        for key in [String::new(), "k".repeat(limits::KEY_BYTES_MAX + 1), "a\0b".to_owned()] {
            let error = ActorId::parse("default", "Counter", &key).expect_err("refused");
            assert_eq!(error.kind, ErrorKind::InvalidActorKey);
        }
    }

    #[test]
    fn a_key_cannot_forge_a_log_line() {
        let id = ActorId::parse("default", "Counter", "a\nERROR forged").expect("valid");
        assert!(!id.to_string().contains('\n'));
    }
}
