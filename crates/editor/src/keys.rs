//! The keys of actions: those of the table, or others that a person chose.

use crate::actions::{ACTIONS, Action};
use egui::{Context, Id, Key, KeyboardShortcut, Modifiers};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// What a person chose, by action, as the file of settings has it: `"save": ["Ctrl+Alt+S"]`. What a newer
/// or older version wrote of actions and keys that we do not know stays there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Keys(BTreeMap<String, Vec<String>>);

/// Where all readers of the table find what was chosen: in egui's context.
type Chosen = Arc<HashMap<&'static str, Vec<KeyboardShortcut>>>;

fn place() -> Id {
    Id::unique("chosen keys")
}

impl Keys {
    /// Gives an action other keys, or none.
    pub fn choose(&mut self, action: &Action, keys: &[KeyboardShortcut]) {
        if keys == action.keys {
            self.reset(action);
        } else {
            self.0.insert(action.id.to_owned(), keys.iter().map(word).collect());
        }
    }

    /// Gives an action the keys of the table again.
    pub fn reset(&mut self, action: &Action) {
        self.0.remove(action.id);
    }

    /// Whether a person chose the action's keys.
    pub fn has(&self, action: &Action) -> bool {
        self.0.contains_key(action.id)
    }

    /// Makes them those that count.
    pub fn apply(&self, ctx: &Context) {
        let chosen = ACTIONS.iter().filter_map(|action| {
            let words = self.0.get(action.id)?;
            Some((action.id, words.iter().filter_map(|word| read(word)).collect()))
        });
        let chosen: Chosen = Arc::new(chosen.collect());
        ctx.data_mut(|data| data.insert_temp(place(), chosen));
    }
}

/// The keys of an action that count.
pub fn of(ctx: &Context, action: &Action) -> Vec<KeyboardShortcut> {
    let chosen: Option<Chosen> = ctx.data(|data| data.get_temp(place()));
    let chosen = chosen.and_then(|chosen| chosen.get(action.id).cloned());
    chosen.unwrap_or_else(|| action.keys.to_vec())
}

/// The other action that has a key already.
pub fn owner(ctx: &Context, key: KeyboardShortcut, besides: &Action) -> Option<&'static Action> {
    let mut others = ACTIONS.iter().filter(|action| action.id != besides.id);
    others.find(|action| of(ctx, action).contains(&key))
}

/// A key as it was pressed, in the form in which the table has it.
pub fn pressed(key: Key, modifiers: Modifiers) -> KeyboardShortcut {
    let parts = [
        (modifiers.command, Modifiers::COMMAND),
        (modifiers.alt, Modifiers::ALT),
        (modifiers.shift, Modifiers::SHIFT),
    ];
    let held = parts.iter().filter(|(on, _)| *on);
    KeyboardShortcut::new(held.fold(Modifiers::NONE, |all, (_, one)| all.plus(*one)), key)
}

/// Whether a key means its action while somebody types: letters are letters then.
pub fn works_while_typing(key: Key, modifiers: Modifiers) -> bool {
    modifiers.command
        || modifiers.alt
        || key.name().strip_prefix('F').is_some_and(|n| n.parse::<u8>().is_ok())
}

const WORDS: [(&str, Modifiers); 3] =
    [("Ctrl", Modifiers::COMMAND), ("Alt", Modifiers::ALT), ("Shift", Modifiers::SHIFT)];

/// `Ctrl+Shift+S`.
fn word(key: &KeyboardShortcut) -> String {
    let held = WORDS.iter().filter(|(_, modifier)| key.modifiers.contains(*modifier));
    let held = held.map(|(word, _)| *word);
    held.chain([key.logical_key.name()]).collect::<Vec<_>>().join("+")
}

fn read(word: &str) -> Option<KeyboardShortcut> {
    let mut modifiers = Modifiers::NONE;
    let mut rest = word;
    while let Some((found, after)) = WORDS
        .iter()
        .find_map(|(word, modifier)| Some((*modifier, rest.strip_prefix(word)?.strip_prefix('+')?)))
    {
        modifiers = modifiers.plus(found);
        rest = after;
    }
    Some(KeyboardShortcut::new(modifiers, Key::from_name(rest)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::action;

    #[test]
    fn every_key_with_any_modifiers_comes_back_from_its_words() {
        let all = [Modifiers::NONE, Modifiers::COMMAND, Modifiers::ALT.plus(Modifiers::SHIFT)];
        for key in Key::ALL {
            for modifiers in all {
                let key = KeyboardShortcut::new(modifiers, *key);
                assert_eq!(read(&word(&key)), Some(key), "{}", word(&key));
            }
        }
        assert_eq!(read("Ctrl+Nonsense"), None);
    }

    #[test]
    fn chosen_keys_count_instead_of_those_of_the_table() {
        let (ctx, mut keys) = (Context::default(), Keys::default());
        let (save, open) = (action("save"), action("open"));
        let key = read("Ctrl+Alt+S").unwrap();
        assert_eq!(of(&ctx, save), save.keys);
        keys.choose(save, &[key]);
        keys.apply(&ctx);
        assert_eq!(of(&ctx, save), [key]);
        assert_eq!(owner(&ctx, key, open).map(|a| a.id), Some("save"));
        assert!(owner(&ctx, key, save).is_none());
        keys.choose(save, save.keys);
        assert_eq!(keys, Keys::default(), "the table's own keys need no entry");
    }

    #[test]
    fn no_two_actions_of_the_table_share_a_key() {
        let ctx = Context::default();
        for action in ACTIONS {
            // Escape means the first that can be done.
            for key in action.keys.iter().filter(|key| key.logical_key != Key::Escape) {
                let other = owner(&ctx, *key, action).map(|other| other.id);
                assert_eq!(other, None, "{} has {}", action.id, word(key));
            }
        }
    }

    #[test]
    fn letters_alone_are_letters_while_somebody_types() {
        assert!(!works_while_typing(Key::R, Modifiers::NONE));
        assert!(!works_while_typing(Key::F, Modifiers::SHIFT));
        assert!(works_while_typing(Key::F5, Modifiers::NONE));
        assert!(works_while_typing(Key::R, Modifiers::COMMAND));
    }
}
