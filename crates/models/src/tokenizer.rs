//! CLIP's byte-pair tokenizer (Radford et al. 2021; Sennrich et al. 2016).

use ahash::AHashMap;
use std::sync::LazyLock;
use tokenizers::{
    AddedToken, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, TokenizerImpl,
    decoders::DecoderWrapper,
    models::bpe::BPE,
    normalizers::{BertNormalizer, Lowercase, NFC, Sequence},
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence as PreSequence,
        split::{Split, SplitPattern},
    },
    processors::PostProcessorWrapper,
};

pub const START: u32 = 49406;
pub const END: u32 = 49407;

type Bpe = TokenizerImpl<
    BPE,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// Built at first use: it takes longer than starting the program.
static CLIP: LazyLock<Bpe> = LazyLock::new(clip);

/// Words, as CLIP cuts text: contractions, runs of letters, single digits, runs of anything else.
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// What tokens at the end of a word end with.
const WORD_END: &str = "</w>";

/// The pairs that become one token, the most frequent first.
fn merges() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("../tokenizers/clip/merges.txt").lines();
    lines.filter(|line| !line.starts_with("#version")).filter_map(|line| line.split_once(' '))
}

/// All tokens in the order of their ids: bytes, bytes at the end of a word, what each merge makes, and the
/// two that are no text.
fn vocabulary() -> impl Iterator<Item = String> {
    // Bytes that cannot be printed are written as characters past Latin-1.
    let printable = ('!'..='~').chain('¡'..='¬').chain('®'..='ÿ');
    let others = 256 - printable.clone().count();
    let bytes = printable.chain(('\u{100}'..).take(others));
    let ends = bytes.clone().map(|byte| format!("{byte}{WORD_END}"));
    let merged = merges().map(|(a, b)| format!("{a}{b}"));
    let special = ["<|startoftext|>", "<|endoftext|>"].map(str::to_owned);
    bytes.map(String::from).chain(ends).chain(merged).chain(special)
}

fn clip() -> Bpe {
    let vocab: AHashMap<String, u32> = vocabulary().zip(0..).collect();
    let merges = merges().map(|(a, b)| (a.to_owned(), b.to_owned()));
    let bpe = BPE::builder()
        .vocab_and_merges(vocab, merges.collect::<Vec<_>>())
        .unk_token("<|endoftext|>".into())
        .end_of_word_suffix(WORD_END.into())
        .build()
        .expect("the vocabulary and the merges belong together");
    let words =
        Split::new(SplitPattern::Regex(WORDS.into()), SplitDelimiterBehavior::Removed, true);
    let words = words.expect("the pattern is ours");
    let mut clip = TokenizerImpl::new(bpe);
    // Invisible characters are dropped, all white space is a blank, Chinese characters are words of
    // their own: as BERT's tokenizer does, which the original runs first.
    let clean = BertNormalizer::new(true, true, Some(false), false);
    clip.with_normalizer(Some(Sequence::new(vec![clean.into(), NFC.into(), Lowercase.into()])));
    let bytes = ByteLevel::new(false, false, false);
    clip.with_pre_tokenizer(Some(PreSequence::new(vec![words.into(), bytes.into()])));
    clip.add_special_tokens(&[
        AddedToken::from("<|startoftext|>", true),
        AddedToken::from("<|endoftext|>", true),
    ]);
    clip
}

/// Text to token ids, without start and end.
pub fn tokenize(text: &str) -> anyhow::Result<Vec<u32>> {
    let encoding =
        CLIP.encode(text, false).map_err(|e| anyhow::anyhow!("tokenizing the prompt: {e}"))?;
    Ok(encoding.get_ids().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_has_the_id_of_its_place() {
        let ids = CLIP.get_vocab(true);
        assert_eq!(ids.len(), END as usize + 1);
        let known = [
            ("!", 0),
            ("ÿ", 187),
            ("\u{100}", 188),
            ("!</w>", 256),
            ("in", 512),
            ("photo</w>", 1125),
        ];
        let special = [("<|startoftext|>", START), ("<|endoftext|>", END)];
        for (token, id) in known.iter().chain(&special) {
            assert_eq!(ids.get(*token), Some(id), "{token}");
        }
    }

    /// Ids from transformers' `CLIPTokenizer`.
    #[test]
    fn invisible_characters_do_not_cut_words() {
        assert_eq!(tokenize("x2\u{200d}6, it's").unwrap(), [343, 273, 277, 267, 585, 568]);
        assert_eq!(tokenize("caf\u{e9}\u{200d}of").unwrap(), [3471, 3459, 539]);
        assert_eq!(tokenize("\u{4e2d}9\u{a0}a").unwrap(), [19759, 511, 280, 320]);
    }
}
