//! The README shows what runs.

#[test]
fn the_readme_shows_the_example_that_pays_a_token() {
    let (readme, example) = (
        include_str!("../README.md"),
        include_str!("../examples/pay_a_token.rs"),
    );
    assert!(readme.contains(&format!("```\n{example}```\n")));
}
