//! The `.env` file of the working directory, read as the older node's python-dotenv reads
//! it: `NAME=value` lines, values with blanks, quotes, comments, and `${NAME}`. Any other
//! `$` is a dollar sign. No message shows a line: it may hold a secret.

use std::{
    fmt, fs,
    io::{self, ErrorKind},
    path::Path,
};

use anyhow::{Context, bail};

use crate::settings::variable;

const FILE: &str = ".env";

/// A variable and its value.
type Variable = (String, String);

/// Takes the variables of the file into the environment, where they are not set already.
///
/// # Errors
/// Where the file cannot be read, and where lines of it cannot: the message names each of
/// them by its number. Then no variable is taken.
pub(crate) fn read() -> anyhow::Result<()> {
    let Some(text) = text(Path::new(FILE)).context("cannot read .env")? else {
        return Ok(());
    };
    match parse(&text, variable) {
        Ok(variables) => set(&variables),
        Err(faults) => {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            bail!(
                ".env has lines that cannot be read (they are not shown):\n{}",
                lines.join("\n")
            )
        }
    }
}

/// The file's text; `None` where there is no file. A folder of this name is somebody else's.
fn text(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sets what is not set. dotenvy does it, because the standard library's way is `unsafe`
/// code; it is given every value in a form that it takes as it is.
fn set(variables: &[Variable]) -> anyhow::Result<()> {
    let missing: Vec<&Variable> = variables
        .iter()
        .filter(|(name, value)| !value.is_empty() && variable(name).is_none())
        .collect();
    dotenvy::from_read_override(escaped(&missing).as_bytes())
        .map_err(|_| anyhow::anyhow!("the variables in .env cannot be set"))
}

/// Lines that dotenvy reads as these variables, whatever their values are.
fn escaped(variables: &[&Variable]) -> String {
    let mut lines = String::new();
    for (name, value) in variables {
        lines.push_str(name);
        lines.push_str("=\"");
        for character in value.chars() {
            match character {
                '\n' => lines.push_str("\\n"),
                '\\' | '"' | '$' => lines.extend(['\\', character]),
                other => lines.push(other),
            }
        }
        lines.push_str("\"\n");
    }
    lines
}

/// A line that cannot be read.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    /// Counted from 1.
    line: usize,
    reason: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ".env, line {}: {}", self.line, self.reason)
    }
}

/// The variables of a file, or every line that cannot be read. `known` is what the
/// environment has.
fn parse(text: &str, known: impl Fn(&str) -> Option<String>) -> Result<Vec<Variable>, Vec<Fault>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<&str> = text.lines().collect();
    let (mut variables, mut faults) = (Vec::<Variable>::new(), Vec::new());
    let mut next = 0;
    while let Some(line) = lines.get(next) {
        let number = next + 1;
        next += 1;
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let read = assignment(line).and_then(|(name, start)| {
            let (value, further_lines) = value(start, &lines[next..])?;
            next += further_lines;
            let value = value.resolved(|other| {
                known(other).or_else(|| Some(variables.iter().rfind(|(name, _)| name == other)?.1.clone()))
            })?;
            Ok((name.to_owned(), value))
        });
        match read {
            Ok(variable) => variables.push(variable),
            Err(reason) => faults.push(Fault { line: number, reason }),
        }
    }
    if faults.is_empty() {
        Ok(variables)
    } else {
        Err(faults)
    }
}

/// The name, and the text from which its value begins.
fn assignment(line: &str) -> Result<(&str, &str), &'static str> {
    let (name, value) = line
        .split_once('=')
        .ok_or("expected NAME=value, one variable a line")?;
    let name = name.trim();
    let name = name
        .strip_prefix("export")
        .filter(|rest| rest.starts_with([' ', '\t']))
        .map_or(name, str::trim_start);
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.')
        && !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    if !is_name {
        return Err("expected NAME=value, where a name has letters, digits and underscores only");
    }
    Ok((name, value.trim_start()))
}

/// A value as it stands in the file, without its quotes.
struct Value {
    text: String,
    /// Whether `${NAME}` stands for another variable in it.
    is_template: bool,
}

/// The value that begins with `start`, and the number of further lines that it takes up.
fn value(start: &str, further: &[&str]) -> Result<(Value, usize), &'static str> {
    let Some(quote) = start.chars().next().filter(|first| matches!(first, '"' | '\'')) else {
        let value = Value {
            text: without_comment(start).to_owned(),
            is_template: true,
        };
        return Ok((value, 0));
    };
    let mut text = start[1..].to_owned();
    for count in 0..=further.len() {
        if let Some((quoted, rest)) = until_quote(&text, quote) {
            let rest = rest.trim_start();
            if !rest.is_empty() && !rest.starts_with('#') {
                return Err("expected nothing but a comment behind the closing quote");
            }
            let value = Value {
                text: quoted,
                is_template: quote == '"',
            };
            return Ok((value, count));
        }
        if let Some(line) = further.get(count) {
            text.push('\n');
            text.push_str(line);
        }
    }
    Err("the quote that opens the value is never closed")
}

/// An unquoted value ends where a blank and `#` begin a comment.
fn without_comment(text: &str) -> &str {
    let comment = text
        .match_indices('#')
        .find(|(at, _)| text[..*at].ends_with([' ', '\t']));
    comment.map_or(text, |(at, _)| &text[..at]).trim_end()
}

/// What stands before the closing quote, with its escapes resolved, and what stands behind.
fn until_quote(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        if character == quote {
            return Some((value, &text[at + 1..]));
        }
        let escaped = (character == '\\')
            .then(|| text[at + 1..].chars().next())
            .flatten();
        match escaped.and_then(|next| unescaped(next, quote)) {
            Some(meant) => {
                value.push(meant);
                characters.next();
            }
            None => value.push(character),
        }
    }
    None
}

/// What a backslash and this character mean, where they mean something together.
fn unescaped(character: char, quote: char) -> Option<char> {
    match (character, quote) {
        ('\\' | '\'', _) | ('"', '"') => Some(character),
        ('n', '"') => Some('\n'),
        ('r', '"') => Some('\r'),
        ('t', '"') => Some('\t'),
        _ => None,
    }
}

impl Value {
    /// The value with other variables in place of `${NAME}` and `${NAME:-default}`.
    fn resolved(self, lookup: impl Fn(&str) -> Option<String>) -> Result<String, &'static str> {
        let mut resolved = String::new();
        let mut rest = self.text.as_str();
        while self.is_template
            && let Some((before, reference)) = rest.split_once("${")
            && let Some((reference, behind)) = reference.split_once('}')
        {
            let (name, default) = match reference.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (reference, None),
            };
            resolved.push_str(before);
            let value = lookup(name).or_else(|| default.map(str::to_owned));
            resolved.push_str(&value.ok_or(
                "`${…}` names a variable that is not set; single quotes around the value keep it as it is",
            )?);
            rest = behind;
        }
        resolved.push_str(rest);
        if resolved.contains('\0') {
            return Err("a value cannot have a NUL character");
        }
        Ok(resolved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Variable>, Vec<Fault>> {
        parse(text, |name| (name == "HOME").then(|| "/home/me".to_owned()))
    }

    fn value_of(line: &str) -> String {
        let mut variables = read(line).unwrap_or_else(|faults| panic!("{line}: {faults:?}"));
        variables.pop().unwrap().1
    }

    #[test]
    fn values_are_what_the_older_node_takes_them_for() {
        for (line, expected) in [
            ("A=S3cret$2024x", "S3cret$2024x"),
            ("A=\"S3cret$2024x\"", "S3cret$2024x"),
            ("A='a $b ${c} d'", "a $b ${c} d"),
            ("A=correct horse battery", "correct horse battery"),
            ("A=key ;prod", "key ;prod"),
            ("A=key # a comment", "key"),
            ("A=key#1", "key#1"),
            ("A='key # 1'  # a comment", "key # 1"),
            ("  export A = key  \r", "key"),
            ("A=", ""),
            ("A=a=b==", "a=b=="),
            (r"A=C:\new\table", r"C:\new\table"),
            (r#"A="a\"b\\c\nd\x""#, "a\"b\\c\nd\\x"),
            (r"A='it\'s\n'", r"it's\n"),
            ("A=\"one\ntwo\"", "one\ntwo"),
            ("A=${HOME}/node", "/home/me/node"),
            ("A=${NOWHERE:-x}/node", "x/node"),
            ("A=${unclosed", "${unclosed"),
            ("B=first\nA=\"${B} second\"", "first second"),
            ("\u{feff}A=key", "key"),
        ] {
            assert_eq!(value_of(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_by_its_number_and_not_shown() {
        let text = "A=fine\n\nS3cret\nB='S3cret\nC=\"S3cret\" S3cret\n2D=S3cret\nE=${S3cret}\nF=S3cret\0\n";
        let faults = read(text).unwrap_err();
        let lines: Vec<usize> = faults.iter().map(|fault| fault.line).collect();
        assert_eq!(lines, [3, 4, 5, 6, 7, 8]);
        for fault in faults {
            assert!(!fault.to_string().contains("S3cret"), "{fault}");
        }
    }

    #[test]
    fn every_value_is_handed_over_unchanged() {
        let values = [
            "S3cret$2024x",
            "a${b}c$",
            "it's \"so\" \\n # here",
            "one\ntwo\r",
            " b ",
            "ü#",
        ];
        let variables: Vec<Variable> = values.map(|value| ("A".to_owned(), value.to_owned())).into();
        let lines = escaped(&variables.iter().collect::<Vec<_>>());
        let handed_over = dotenvy::from_read_iter(lines.as_bytes()).map(Result::unwrap);
        assert_eq!(handed_over.collect::<Vec<_>>(), variables);
    }
}
