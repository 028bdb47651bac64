//! As much of JSON Schema as the OpenAPI documents use: what a schema says of a
//! value, and values that it allows and forbids.

use std::cmp::Ordering;

use proptest::{
    strategy::{Strategy, ValueTree},
    string::string_regex,
    test_runner::TestRunner,
};
use regex::Regex;
use serde_json::{Map, Number, Value, json};

/// A document, whose schemas may refer to each other.
pub struct Schemas {
    document: Value,
}

impl Schemas {
    pub fn of(document: &str) -> Self {
        Self {
            document: serde_json::from_str(document).unwrap(),
        }
    }

    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The schema itself where it is a reference.
    pub fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(reference) => self.document.pointer(&reference[1..]).unwrap(),
            None => schema,
        }
    }

    /// Whether the schema allows the value.
    pub fn allows(&self, schema: &Value, value: &Value) -> bool {
        self.fault(schema, value).is_none()
    }

    /// What the schema has against the value.
    pub fn fault(&self, schema: &Value, value: &Value) -> Option<String> {
        if schema["$ref"].is_string() {
            return self.fault(self.resolve(schema), value);
        }
        let wrong = || Some(format!("{value} is not {schema}"));
        if let Some(constant) = schema.get("const")
            && constant != value
        {
            return wrong();
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            return wrong();
        }
        if let Some(kinds) = kinds(schema)
            && !kinds.iter().any(|kind| is_of(kind, value))
        {
            return wrong();
        }
        if let Some(all) = schema["allOf"].as_array()
            && let Some(fault) = all.iter().find_map(|part| self.fault(part, value))
        {
            return Some(fault);
        }
        if let Some(any) = schema["anyOf"].as_array()
            && any.iter().all(|part| !self.allows(part, value))
        {
            return wrong();
        }
        match value {
            Value::String(text) if !string_fits(schema, text) => wrong(),
            Value::Number(number) if !number_fits(schema, number) => wrong(),
            Value::Array(items) => self.array_fault(schema, items).or_else(|| {
                let (least, most) = bounds(schema, "minItems", "maxItems");
                (!(least..=most).contains(&items.len())).then(wrong).flatten()
            }),
            Value::Object(fields) => self.object_fault(schema, fields),
            _ => None,
        }
    }

    fn array_fault(&self, schema: &Value, items: &[Value]) -> Option<String> {
        let of_item = schema.get("items")?;
        items.iter().find_map(|item| self.fault(of_item, item))
    }

    fn object_fault(&self, schema: &Value, fields: &Map<String, Value>) -> Option<String> {
        for name in names(&schema["required"]) {
            if !fields.contains_key(name) {
                return Some(format!("{name} is missing in {fields:?}"));
            }
        }
        for (name, needed) in schema["dependentRequired"].as_object().into_iter().flatten() {
            let lacks = names(needed).any(|other| !fields.contains_key(other));
            if fields.contains_key(name) && lacks {
                return Some(format!("{name} comes without {needed}"));
            }
        }
        fields.iter().find_map(|(name, value)| {
            let of_field = schema["properties"].get(name);
            let of_field =
                of_field.or_else(|| schema.get("additionalProperties").filter(|rest| rest.is_object()));
            self.fault(of_field?, value)
                .map(|fault| format!("{name}: {fault}"))
        })
    }
}

fn kinds(schema: &Value) -> Option<Vec<&str>> {
    match schema.get("type")? {
        Value::String(kind) => Some(vec![kind]),
        several => Some(names(several).collect()),
    }
}

fn names(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => {
            value.is_u64() || value.is_i64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        other => panic!("the schema type {other} is unknown here"),
    }
}

fn bounds(schema: &Value, least: &str, most: &str) -> (usize, usize) {
    let bound = |name: &str, otherwise| schema[name].as_u64().map_or(otherwise, |bound| bound as usize);
    (bound(least, 0), bound(most, usize::MAX))
}

fn string_fits(schema: &Value, text: &str) -> bool {
    let (least, most) = bounds(schema, "minLength", "maxLength");
    let pattern = schema["pattern"].as_str();
    (least..=most).contains(&text.chars().count())
        && pattern.is_none_or(|pattern| Regex::new(pattern).unwrap().is_match(text))
        && (schema["format"] != "eip55" || dm_core::address::parse_address(text).is_ok())
}

fn number_fits(schema: &Value, number: &Number) -> bool {
    let below = |bound: &Value, other: &Number| match (whole(bound.as_number()), whole(Some(other))) {
        (Some(bound), Some(number)) => Some(number.cmp(&bound)),
        // Beyond what a double holds exactly, the number is the larger one.
        _ => bound
            .as_f64()
            .zip(other.as_f64())
            .map(|(bound, number)| number.partial_cmp(&bound).unwrap().then(Ordering::Greater)),
    };
    let at_least = below(&schema["minimum"], number).is_none_or(Ordering::is_ge);
    at_least && below(&schema["maximum"], number).is_none_or(Ordering::is_le)
}

fn whole(number: Option<&Number>) -> Option<i128> {
    let number = number?;
    number
        .as_u64()
        .map(i128::from)
        .or_else(|| number.as_i64().map(i128::from))
}

/// Makes values; the same ones in every run.
pub struct Generator<'a> {
    schemas: &'a Schemas,
    runner: TestRunner,
    state: u64,
}

impl<'a> Generator<'a> {
    pub fn new(schemas: &'a Schemas) -> Self {
        Self {
            schemas,
            runner: TestRunner::deterministic(),
            state: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 16) as usize % bound
    }

    pub fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    /// A value that the schema allows. Objects have their required fields, and
    /// each of the others with an even chance where `complete` is set.
    pub fn allowed(&mut self, schema: &Value, complete: bool) -> Value {
        let schema = self.schemas.resolve(schema).clone();
        if self.coin()
            && let Some(value) = self.pick(hostile_values(), |value, all| all.allows(&schema, value))
            && !value.is_object()
        {
            return value;
        }
        self.plain(&schema, complete)
    }

    fn plain(&mut self, schema: &Value, complete: bool) -> Value {
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        let any = schema["enum"]
            .as_array()
            .or_else(|| schema["examples"].as_array());
        if let Some(any) = any {
            return any[self.below(any.len())].clone();
        }
        if let (Some(any), None) = (schema["anyOf"].as_array(), schema.get("properties")) {
            let chosen = any[self.below(any.len())].clone();
            return self.allowed(&chosen, complete);
        }
        let kinds = kinds(schema).unwrap_or_else(|| panic!("{schema} has no type"));
        match kinds[self.below(kinds.len())] {
            "null" => Value::Null,
            "boolean" => json!(self.coin()),
            "string" => json!(self.text(schema)),
            "array" => {
                let (least, _) = bounds(schema, "minItems", "maxItems");
                let count = least.max(self.below(3));
                let of_item = schema.get("items").cloned().unwrap_or(json!({"type": "integer"}));
                (0..count).map(|_| self.allowed(&of_item, complete)).collect()
            }
            "object" => self.object(schema, complete),
            _ => {
                let least = schema["minimum"].as_i64().unwrap_or(0);
                let most = schema["maximum"]
                    .as_f64()
                    .map_or(1000, |most| most.min(1000.0) as i64);
                json!(least + self.below((most - least + 1) as usize) as i64)
            }
        }
    }

    fn object(&mut self, schema: &Value, complete: bool) -> Value {
        let mut wanted: Vec<String> = names(&schema["required"]).map(str::to_owned).collect();
        if let Some(any) = schema["anyOf"].as_array() {
            let chosen = &any[self.below(any.len())];
            wanted.extend(names(&chosen["required"]).map(str::to_owned));
        }
        let properties = schema["properties"].as_object().cloned().unwrap_or_default();
        for name in properties.keys().filter(|_| complete) {
            if self.coin() {
                wanted.push(name.clone());
                wanted.extend(names(&schema["dependentRequired"][name]).map(str::to_owned));
            }
        }
        let mut fields = Map::new();
        for name in wanted {
            if !fields.contains_key(&name) {
                fields.insert(name.clone(), self.allowed(&properties[&name], complete));
            }
        }
        Value::Object(fields)
    }

    fn text(&mut self, schema: &Value) -> String {
        let (least, most) = bounds(schema, "minLength", "maxLength");
        if schema["format"] == "eip55" {
            let mut bytes = [0; 20];
            bytes.fill_with(|| self.below(256) as u8);
            let address = dm_core::Address::from(bytes);
            return match self.below(3) {
                0 => address.to_string(),
                1 => format!(" {address:#x} "),
                _ => address.to_string().to_uppercase().replacen('X', "x", 1),
            };
        }
        let pattern = match schema["pattern"].as_str() {
            Some(pattern) => pattern.replace(['^', '$'], ""),
            None => format!("[ -~äß]{{{least},{}}}", most.min(least + 20)),
        };
        let strategy = string_regex(&pattern).unwrap();
        loop {
            let text = strategy.new_tree(&mut self.runner).unwrap().current();
            if string_fits(schema, &text) {
                return text;
            }
        }
    }

    fn pick(&mut self, mut values: Vec<Value>, fits: impl Fn(&Value, &Schemas) -> bool) -> Option<Value> {
        values.retain(|value| fits(value, self.schemas));
        (!values.is_empty()).then(|| values.swap_remove(self.below(values.len())))
    }

    /// Values that the schema forbids.
    pub fn forbidden(&mut self, schema: &Value) -> Vec<Value> {
        let schema = self.schemas.resolve(schema).clone();
        let mut values = hostile_values();
        let sample = self.plain(&schema, false);
        if let Some(text) = sample.as_str() {
            let cut: String = text.chars().skip(1).collect();
            values.extend([
                json!(format!("{text}!")),
                json!(cut),
                json!(text.replace('0', "O")),
            ]);
        }
        if let Some(fields) = sample.as_object() {
            for name in fields.keys() {
                let mut fewer = fields.clone();
                fewer.remove(name);
                values.push(Value::Object(fewer));
            }
        }
        values.retain(|value| !value.is_null() && !self.schemas.allows(&schema, value));
        values
    }
}

/// Values at which readers stumble.
fn hostile_values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!("true"),
        json!(0),
        json!(1),
        json!(-1),
        json!(7.5),
        json!(1e40),
        json!(256),
        json!(i64::MAX),
        json!(i64::MAX as u64 + 1),
        json!(u64::MAX),
        json!(""),
        json!(" "),
        json!("0"),
        json!("1"),
        json!("-1"),
        json!("18446744073709551615"),
        json!("18446744073709551616"),
        json!("1000000000000000000000000000000"),
        json!("1000000000000000000000000000001"),
        json!("a\u{0}b"),
        json!("\u{1F980}"),
        json!("x".repeat(5000)),
        json!("0xF39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
        json!([]),
        json!([1]),
        json!([""]),
        json!({}),
        json!({"a": 1}),
    ]
}
