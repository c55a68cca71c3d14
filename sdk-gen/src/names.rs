//! Case changes and paths that several back ends need. What a language makes of them, keywords included, is its own.

/// The words of an rpc name: `GetHTTPStatus2` is `get`, `http`, `status2`. Underscores separate too.
pub fn words(name: &str) -> Vec<String> {
    let characters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (index, character) in characters.iter().enumerate() {
        if *character == '_' {
            words.push(String::new());
            continue;
        }
        let before = index.checked_sub(1).map(|index| characters[index]);
        let after = characters.get(index + 1);
        let starts = character.is_uppercase()
            && (before.is_some_and(|c| c.is_lowercase() || c.is_ascii_digit())
                || before.is_some_and(char::is_uppercase)
                    && after.is_some_and(|c| c.is_lowercase()));
        if starts {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(character.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// `set_language` from `SetLanguage`.
pub fn snake(name: &str) -> String {
    words(name).join("_")
}

/// `SET_LANGUAGE` from `SetLanguage`.
pub fn screaming(name: &str) -> String {
    snake(name).to_uppercase()
}

/// `setLanguage` from `SetLanguage` or `set_language`.
pub fn camel(name: &str) -> String {
    let mut words = words(name).into_iter();
    let first = words.next().unwrap_or_default();
    words.fold(first, |name, word| name + &capital(&word))
}

/// `SetLanguage` from `set_language`.
pub fn pascal(name: &str) -> String {
    words(name).iter().map(|word| capital(word)).collect()
}

/// The name that protobuf gives a field in JSON, and protobuf-es in TypeScript: underscores go and the letter behind each
/// becomes capital; everything else stays.
pub fn proto_camel(name: &str) -> String {
    let mut result = String::with_capacity(name.len());
    let mut raise = false;
    for character in name.chars() {
        if character == '_' {
            raise = true;
        } else if std::mem::take(&mut raise) {
            result.push(character.to_ascii_uppercase());
        } else {
            result.push(character);
        }
    }
    result
}

fn capital(word: &str) -> String {
    let mut characters = word.chars();
    characters
        .next()
        .map(|first| first.to_uppercase().chain(characters).collect())
        .unwrap_or_default()
}

/// The path from the folder of `from` to `to`, both relative to the same root: from `acme/v1/a` to `acme/b` it is
/// `../b`, to `acme/v1/c` it is `./c`.
pub fn relative_path(from: &str, to: &str) -> String {
    let mut from: Vec<&str> = from.split('/').collect();
    from.pop();
    let to: Vec<&str> = to.split('/').collect();
    let shared = from.iter().zip(&to[..to.len() - 1]).take_while(|(from, to)| from == to).count();
    let up = from.len() - shared;
    let prefix = if up == 0 { "./".to_owned() } else { "../".repeat(up) };
    prefix + &to[shared..].join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_changes_keep_acronyms_and_digits_together() {
        for (name, snake_name, camel_name, pascal_name) in [
            ("SetLanguage", "set_language", "setLanguage", "SetLanguage"),
            ("GetHTTPStatus2", "get_http_status2", "getHttpStatus2", "GetHttpStatus2"),
            ("add", "add", "add", "Add"),
            ("get_state", "get_state", "getState", "GetState"),
            ("A", "a", "a", "A"),
            ("V2Add", "v2_add", "v2Add", "V2Add"),
        ] {
            assert_eq!(snake(name), snake_name);
            assert_eq!(camel(name), camel_name);
            assert_eq!(pascal(name), pascal_name);
        }
        assert_eq!(proto_camel("foo_bar_2x"), "fooBar2x");
        assert_eq!(proto_camel("FooBar"), "FooBar");
    }

    #[test]
    fn relative_paths_climb_to_the_shared_folder() {
        assert_eq!(relative_path("acme/v1/a", "acme/v1/c"), "./c");
        assert_eq!(relative_path("acme/v1/a", "acme/b"), "../b");
        assert_eq!(relative_path("a", "google/protobuf/any"), "./google/protobuf/any");
        assert_eq!(relative_path("x/y/a", "b"), "../../b");
    }
}
