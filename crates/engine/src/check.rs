//! The checks of one input: a link or literal becomes a [`Given`] or a [`Problem`].

use crate::{
    Problem,
    files::Files,
    literal::{Broken, Number, python_list, python_str},
    reject::{brief, named},
    wiring::{Wiring, link},
};
use graph::{Input, Json, Value};
use serde_json::{Map, json};

/// What feeds an input, found right.
pub(crate) enum Given {
    Literal {
        json: Json,
        value: Value,
        nan: bool,
        /// Of the file the literal names.
        content: Option<u64>,
    },
    Link {
        node: usize,
        output: usize,
    },
}

/// Checks inputs of one graph.
pub(crate) struct Checker<'c, 'p, 'a> {
    pub wiring: &'c Wiring<'p, 'a>,
    pub files: &'c Files<'c>,
}

impl Checker<'_, '_, '_> {
    /// What feeds `input`; `Ok(None)` if nothing does and nothing need.
    pub fn given(&self, input: &Input, json: Option<&Json>) -> Result<Option<Given>, Box<Problem>> {
        match json {
            None if input.optional => Ok(None),
            None => Err(missing(input).into()),
            Some(Json::Null) if input.optional && input.read.is_none() => Ok(None),
            Some(json @ Json::Array(_)) => self.linked(input, json).map(Some),
            Some(json) => self.literal(input, unwrapped(json)).map(Some),
        }
    }

    fn linked(&self, input: &Input, json: &Json) -> Result<Given, Box<Problem>> {
        let Some((from, output)) = link(json) else {
            return Err(self.bad_link(input, json).into());
        };
        let Some(node) = self.wiring.numbers.get(from).copied() else {
            let details = format!("node {from}, which the graph does not have");
            return Err(self.dangling(input, json, "KeyError", &details).into());
        };
        let Some(ty) = self.wiring.nodes[node].ty else {
            return Ok(Given::Link { node, output });
        };
        let source = format!("node {from} ({})", named(ty.name, self.wiring.nodes[node].title()));
        let Some(got) = ty.outputs.get(output) else {
            let has: Vec<&str> = ty.outputs.iter().map(|o| o.ty).collect();
            let has = if has.is_empty() { "none".into() } else { has.join(", ") };
            let details = format!("output {output} of {source}, whose outputs are: {has}");
            return Err(self.dangling(input, json, "IndexError", &details).into());
        };
        if fits(got.ty, input.ty) {
            return Ok(Given::Link { node, output });
        }
        let details =
            format!("{}, received_type({}) mismatch input_type({})", input.name, got.ty, input.ty);
        let mut extra_info = self.about(input);
        extra_info.insert("received_type".into(), got.ty.into());
        extra_info.insert("linked_node".into(), json.clone());
        let help = format!(
            "`{}` wants {}; output {output} of {source} is {}",
            input.name, input.ty, got.ty
        );
        let message = "Return type mismatch between linked nodes".into();
        Err(Box::new(Problem { kind: "return_type_mismatch", message, details, extra_info, help }))
    }

    fn literal(&self, input: &Input, json: &Json) -> Result<Given, Box<Problem>> {
        let Some(read) = input.read else { return Err(self.bad_link(input, json).into()) };
        let number = match Number::read(input.ty, json) {
            Some(number) => Some(number.map_err(|e| self.unreadable(input, json, &e))?),
            None => None,
        };
        if let Some((number, broken)) = number.and_then(|n| Some((n, n.breaks(&input.options)?))) {
            return Err(self.out_of_range(input, number, &broken).into());
        }
        if input.choices.is_some() && !json.as_str().is_some_and(|s| self.files.offers(input, s)) {
            return Err(self.not_in_list(input, json).into());
        }
        let settled = number.map_or_else(|| json.clone(), Number::json);
        let value = read(&settled).map_err(|e| self.unreadable(input, json, &format!("{e:#}")))?;
        let content = json.as_str().and_then(|name| self.files.content(input, name)).transpose();
        let content = content.map_err(|error| {
            let help = format!("`{}`: {error:#}", input.name);
            self.exception(input, json, "OSError", format!("{}: {error:#}", input.name), help)
        })?;
        let nan = number.is_some_and(Number::is_nan);
        Ok(Given::Literal { json: text_or_truth(&value).unwrap_or(settled), value, nan, content })
    }

    /// `input_name` and `input_config`; a long list of names is left out, as ComfyUI does.
    fn about(&self, input: &Input) -> Map<String, Json> {
        let long = input.names(self.files).is_some_and(|names| names.len() > LISTED);
        let config = if long { Json::Null } else { input.object_info(self.files) };
        let mut about = Map::new();
        about.insert("input_name".into(), input.name.into());
        about.insert("input_config".into(), config);
        about
    }

    fn about_value(&self, input: &Input, received: &Json) -> Map<String, Json> {
        let mut about = self.about(input);
        about.insert("received_value".into(), received.clone());
        about
    }

    fn bad_link(&self, input: &Input, json: &Json) -> Problem {
        Problem {
            kind: "bad_linked_input",
            message: "Bad linked input, must be a length-2 list of [node_id, slot_index]".into(),
            details: input.name.into(),
            extra_info: self.about_value(input, json),
            help: format!(
                "`{}` wants a link to {}, written [\"node id\", output number]; got {}",
                input.name,
                input.ty,
                brief(json)
            ),
        }
    }

    /// A link to what is not there; ComfyUI reports Python's exception.
    fn dangling(&self, input: &Input, json: &Json, exception: &str, what: &str) -> Problem {
        let help = format!("`{}` is linked to {what}", input.name);
        self.exception(input, json, exception, format!("{}: linked to {what}", input.name), help)
    }

    fn exception(
        &self,
        input: &Input,
        json: &Json,
        exception: &str,
        details: String,
        help: String,
    ) -> Problem {
        let mut extra_info = self.about_value(input, json);
        extra_info.insert("exception_type".into(), exception.into());
        extra_info.insert("traceback".into(), json!([]));
        Problem { details, extra_info, help, ..no_exception() }
    }

    fn unreadable(&self, input: &Input, json: &Json, why: &str) -> Problem {
        let mut extra_info = self.about_value(input, json);
        extra_info.insert("exception_message".into(), why.into());
        Problem {
            kind: "invalid_input_type",
            message: format!("Failed to convert an input value to a {} value", input.ty),
            details: format!("{}, {}, {why}", input.name, python_str(json)),
            extra_info,
            help: format!("`{}` wants {}; got {}", input.name, wanted(input), brief(json)),
        }
    }

    fn out_of_range(&self, input: &Input, number: Number, broken: &Broken) -> Problem {
        let (kind, than, limit) = match broken {
            Broken::Min(limit) => ("value_smaller_than_min", "smaller than min", limit),
            Broken::Max(limit) => ("value_bigger_than_max", "bigger than max", limit),
        };
        let text = number.text();
        Problem {
            kind,
            message: format!("Value {text} {than} of {}", python_str(limit)),
            details: input.name.into(),
            extra_info: self.about_value(input, &number.json()),
            help: format!("`{}` is {text}; it wants {}", input.name, wanted(input)),
        }
    }

    fn not_in_list(&self, input: &Input, json: &Json) -> Problem {
        let names = input.names(self.files).unwrap_or_default();
        let list = if names.len() > LISTED {
            format!("(list of length {})", names.len())
        } else {
            python_list(&names)
        };
        let text = python_str(json);
        Problem {
            kind: "value_not_in_list",
            message: "Value not in list".into(),
            details: format!("{}: '{text}' not in {list}", input.name),
            extra_info: self.about_value(input, json),
            help: format!(
                "`{}` is {}: {}",
                input.name,
                brief(json),
                self.files.advice(input, &text)
            ),
        }
    }
}

/// Longer lists of names are only counted in errors.
const LISTED: usize = 20;

/// The error of a node whose `inputs` are not an object.
pub(crate) fn no_inputs() -> Problem {
    let mut problem = no_exception();
    problem.details = "'inputs'".into();
    problem.help = "has no object `inputs`; write \"inputs\": {} if it needs none".into();
    problem.extra_info.insert("exception_type".into(), "KeyError".into());
    problem.extra_info.insert("traceback".into(), json!([]));
    problem
}

/// What all errors have in common that ComfyUI meets as exceptions.
fn no_exception() -> Problem {
    Problem {
        kind: "exception_during_validation",
        message: "Exception when validating node".into(),
        details: String::new(),
        extra_info: Map::new(),
        help: String::new(),
    }
}

fn missing(input: &Input) -> Problem {
    let mut extra_info = Map::new();
    extra_info.insert("input_name".into(), input.name.into());
    let cure = match (&input.read, input.options.get("default")) {
        (None, _) => format!("link it to an output of type {}", input.ty),
        (Some(_), Some(default)) => format!("its default would be {}", brief(default)),
        (Some(_), None) => format!("it wants {}", wanted(input)),
    };
    Problem {
        kind: "required_input_missing",
        message: "Required input is missing".into(),
        details: input.name.into(),
        extra_info,
        help: format!("`{}` is missing: {cure}", input.name),
    }
}

/// The values an input takes, in words.
fn wanted(input: &Input) -> String {
    let kind = match input.ty {
        "INT" => "a whole number",
        "FLOAT" => "a number",
        "COMBO" => "a name from its list",
        ty => ty,
    };
    match (input.options.get("min"), input.options.get("max")) {
        (Some(min), Some(max)) => format!("{kind} from {min} to {max}"),
        (Some(min), None) => format!("{kind} of at least {min}"),
        (None, Some(max)) => format!("{kind} of at most {max}"),
        (None, None) => kind.into(),
    }
}

/// A list as a constant is wrapped so that it is no link: `{"__value__": [...]}`.
fn unwrapped(json: &Json) -> &Json {
    json.get("__value__").unwrap_or(json)
}

/// Strings and booleans after the widget's conversion: equal values must have equal keys.
fn text_or_truth(value: &Value) -> Option<Json> {
    let text = value.get::<String>().ok().map(|text| text.clone().into());
    text.or_else(|| value.get::<bool>().ok().map(|truth| (*truth).into()))
}

/// Whether a link may join the two types: they are equal, have one of a comma's parts in common,
/// or one is anything.
fn fits(got: &str, wanted: &str) -> bool {
    let parts = |ty: &'_ str| ty.split(',').map(str::to_owned).collect::<Vec<_>>();
    got == wanted
        || got == "*"
        || wanted == "*"
        || parts(got).iter().any(|part| parts(wanted).contains(part))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn types_fit_when_equal_overlapping_or_any() {
        assert!(fits("IMAGE", "IMAGE") && fits("*", "IMAGE") && fits("IMAGE", "*"));
        assert!(fits("IMAGE,MASK", "MASK") && fits("FLOAT", "INT,FLOAT"));
        assert!(!fits("LATENT", "IMAGE") && !fits("IMAGES", "IMAGE,MASK"));
    }
}
