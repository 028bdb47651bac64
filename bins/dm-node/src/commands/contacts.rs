//! `dm-node contacts`: names for the addresses of others.

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    cli::{ContactsArgs, ContactsCommand},
    client::NodeClient,
    output::{self, cell},
    times,
};

/// Contacts that are asked for at a time.
const PAGE: usize = 1000;

pub(crate) async fn run(args: ContactsArgs, as_json: bool) -> anyhow::Result<()> {
    match args.command {
        None => {
            let contacts = all(&args.client.connect()?).await?;
            output::print(as_json, &json!({"contacts": contacts}), |_| list(&contacts))
        }
        Some(ContactsCommand::Add(new)) => {
            let body = json!({"address": new.address.to_string(), "trust": new.trust, "note": new.note});
            let contact = new
                .client
                .connect()?
                .put(&format!("/contacts/{}", new.name), &body)
                .await?;
            output::print(as_json, &contact, describe)
        }
        Some(ContactsCommand::Show { name, client: node }) => {
            let contact = node.connect()?.get(&format!("/contacts/{name}"), &[]).await?;
            output::print(as_json, &contact, describe)
        }
        Some(ContactsCommand::Confirm { name, client: node }) => {
            let (node, route) = (node.connect()?, format!("/contacts/{name}"));
            let known = node.get(&route, &[]).await?;
            let body = json!({
                "address": known["address"],
                "trust": known["trust"],
                "note": known["note"],
            });
            output::print(as_json, &node.put(&route, &body).await?, describe)
        }
        Some(ContactsCommand::Remove { name, client: node }) => {
            let removed = node.connect()?.delete(&format!("/contacts/{name}")).await?;
            output::print(as_json, &removed, |_| format!("{name} is no contact any more."))
        }
    }
}

/// All contacts, page by page.
async fn all(client: &NodeClient) -> anyhow::Result<Vec<Value>> {
    let mut contacts = Vec::new();
    let mut query = vec![("limit", PAGE.to_string())];
    loop {
        let mut page = client.get("/contacts", &query).await?;
        let found = page["contacts"]
            .as_array_mut()
            .context("the node's answer makes no sense")?;
        contacts.append(found);
        match page["next_cursor"].as_str() {
            Some(cursor) => query = vec![("limit", PAGE.to_string()), ("cursor", cursor.to_owned())],
            None => return Ok(contacts),
        }
    }
}

fn list(contacts: &[Value]) -> String {
    let rows: Vec<Vec<String>> = contacts
        .iter()
        .map(|contact| {
            let fields = ["name", "trust", "address"].map(|field| cell(&contact[field]));
            fields.into_iter().chain([changes(contact)]).collect()
        })
        .collect();
    output::table(&["NAME", "TRUST", "ADDRESS", "CHANGED"], &rows)
}

fn describe(contact: &Value) -> String {
    let mut lines = vec![
        format!("name     {}", cell(&contact["name"])),
        format!("address  {}", cell(&contact["address"])),
        format!("trust    {}", cell(&contact["trust"])),
        format!("added    {}", times::local_ms(&contact["added_at"])),
    ];
    if !contact["note"].is_null() {
        lines.push(format!("note     {}", cell(&contact["note"])));
    }
    if !contact["changed"].is_null() {
        let since = times::local_ms(&contact["changed"]["at"]);
        lines.push(format!("changed  {} since {since}", changes(contact)));
        lines.push(format!(
            "Ask the contact whether that is right; `dm-node contacts confirm {}` confirms it.",
            cell(&contact["name"])
        ));
    }
    lines.join("\n")
}

/// What of the address record has changed since the contact was confirmed.
fn changes(contact: &Value) -> String {
    let what = contact["changed"]["what"].as_array();
    let names: Vec<String> = what.into_iter().flatten().map(cell).collect();
    names.join(", ")
}
