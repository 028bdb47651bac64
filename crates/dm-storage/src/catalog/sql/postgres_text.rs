//! Statements in SQLite's words, as PostgreSQL wants them.

/// Words for SQLite's planner, before the name of an index.
const INDEX_HINT: &str = "INDEXED BY ";
/// A join that SQLite makes in the order in which it stands, and its usual name.
const ORDERED_JOIN: (&str, &str) = ("CROSS JOIN", "JOIN");

/// Numbers the parameters, and leaves out what is meant for SQLite's planner alone: a `+`
/// before a column or a parameter, `INDEXED BY`, and that a `CROSS JOIN` has an order.
pub(super) fn of(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    let mut parameters = 0;
    let mut quoted = false;
    while let Some(next) = rest.chars().next() {
        let before = out.chars().next_back();
        let tail = rest.get(next.len_utf8()..).unwrap_or_default();
        if next == '\'' {
            quoted = !quoted;
        }
        if quoted || next == '\'' {
            out.push(next);
            rest = tail;
            continue;
        }
        if let Some(behind) = rest.strip_prefix(INDEX_HINT) {
            rest = behind
                .find(' ')
                .map_or("", |end| behind.get(end + 1..).unwrap_or_default());
            continue;
        }
        if let Some(behind) = rest.strip_prefix(ORDERED_JOIN.0) {
            out.push_str(ORDERED_JOIN.1);
            rest = behind;
            continue;
        }
        rest = tail;
        match next {
            '?' => {
                out.push('$');
                if !tail.starts_with(|next: char| next.is_ascii_digit()) {
                    parameters += 1;
                    out.push_str(&parameters.to_string());
                }
            }
            '+' if before.is_none_or(|before| before.is_whitespace() || before == '(')
                && tail.starts_with(|next: char| next.is_ascii_alphabetic() || next == '?') => {}
            _ => out.push(next),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn parameters_are_numbered_where_they_are_not() {
        assert_eq!(of("a = ? AND b = ?"), "a = $1 AND b = $2");
        assert_eq!(of("a = ?2 AND b = ?1"), "a = $2 AND b = $1");
        assert_eq!(of("a = '?' AND b = ?"), "a = '?' AND b = $1");
    }

    #[test]
    fn hints_are_left_out() {
        assert_eq!(of("a = ? AND +kind = 'x'"), "a = $1 AND kind = 'x'");
        assert_eq!(of("(a = 1 OR +t.kind = 2)"), "(a = 1 OR t.kind = 2)");
        assert_eq!(of("max(a) + 1"), "max(a) + 1");
        assert_eq!(of("a = a + ? LIMIT +?"), "a = a + $1 LIMIT $2");
        assert_eq!(of("ORDER BY id LIMIT +?3"), "ORDER BY id LIMIT $3");
        assert_eq!(of("FROM t INDEXED BY t_by_a WHERE a = 1"), "FROM t WHERE a = 1");
        assert_eq!(of("n CROSS JOIN i ON i.a = n.a"), "n JOIN i ON i.a = n.a");
    }
}
