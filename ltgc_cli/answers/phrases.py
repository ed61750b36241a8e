"""The phrases that tell a description from the talk around it, as regular expressions; names of classes are in none.

Each is for a sentence of bounded length, and begins where `match` begins.
"""

from __future__ import annotations

import re
from functools import lru_cache


def pattern(text: str) -> re.Pattern[str]:
    """Returns a regular expression, compiled: small letters and capitals are the same to it."""
    return re.compile(text, re.IGNORECASE)


def _whole(alternatives: str, end: str = r"\b") -> re.Pattern[str]:
    return pattern(f"(?:{alternatives}){end}")


@lru_cache(maxsize=64)  # the same sentence is asked about by one pattern after another
def stems(text: str) -> frozenset[str]:
    """Returns the first six letters of each word: enough to tell which of many patterns cannot be in a text.

    >>> sorted(stems("Standing in a marsh"))
    ['a', 'in', 'marsh', 'standi']
    """
    return frozenset([word[:6] for word in _LETTERS.findall(text.lower())])


_LETTERS = re.compile("[a-z]+")


def gate(words: str) -> frozenset[str]:
    """Returns the stems of words: a pattern is tried only on a text that has one of them."""
    return frozenset(word[:6] for word in words.split())


ENDS = (".", "!", "?", "…", "。", "！", "？")
QUOTES = "\"'`*“”‘’„«» \t"
ARTICLE = r"(?:an?|the|this|that|these|some|one|another|two|three|four|several|multiple|many)"

# --- how a description begins

VIEWS = (  # what a photo is called that says how the class is seen
    r"(?:close-?up|close up|macro|aerial|wide[- ]angle|wide|panoramic|black[- ]and[- ]white|monochrome|sepia|underwater"
    r"|night(?:time)?|overhead|top-down|bird's-eye|side|side-view|front|frontal|rear|back|low-angle|high-angle|blurry"
    r"|blurred|grainy|cropped|zoomed-in|full-body|vintage|old|silhouette|backlit|magnified|telephoto|dark)"
)
_PRAISE = (  # and what says nothing
    r"(?:beautiful|stunning|striking|breathtaking|captivating|clear|sharp|crisp|detailed|high[- ](?:resolution|quality)"
    r"|high-definition|hd|4k|professional|realistic|photorealistic|real|vivid|vibrant|(?:full-)?colou?r(?:ful)?|candid"
    r"|natural|outdoor|indoor|good|great|nice|lovely|cute|single|simple|typical|different|second|digital|stock|dramatic"
    r"|serene|bright|daytime|mesmerizing|amazing|gorgeous|new|possible|artistic|dslr|rare|classic|sample|example"
    r"|reference|representative|centered|well-lit|clean|perfect|up-close|intimate|dynamic|crystal-clear)"
)
_SHOT = (
    r"(?:photo(?:graph)?|picture|image|pic|snapshot|snap|shot|view|close-? ?up|portrait|photography|scene|depiction"
    r"|footage|capture|visual)s?"
)
_SHOWS = (
    r"(?:of|shows?|showing|depicts?|depicting|features?|featuring|captures?|capturing|displays?|displaying|presents?"
    r"|presenting|portrays?|portraying|showcases?|showcasing|contains?|containing|includes?|including|highlights?"
    r"|highlighting|focus(?:es)? on|focusing on|is of|is (?:a|an) (?:close-up|image|photo|picture) of"
    r"|(?:that|which) (?:shows|features|depicts|captures)"
    r"|(?:appears|seems) to (?:be of|be|show|depict|feature|capture|contain))"
)
_IMAGE = "(?:image|photo|picture|photograph|scene|frame|shot)"
_PLACE = rf"(?:center|centre|middle|foreground|background|left|right|heart)(?: of (?:this|the) {_IMAGE})?"

LEAD = pattern(  # A photo of, The image shows, In this close-up picture of
    rf"(?:(?:this|here|it|that)(?: is|['’]s) |(?:in|from) (?:this|the|that) {_IMAGE},? )?"
    rf"(?:(?:an?|the|this|that|one|another|some|my|our) )?(?P<view>(?:(?:{VIEWS}|{_PRAISE}|and),? ){{0,5}})"
    rf"(?:{_SHOT} {_SHOWS}|(?:photo(?:graph)?|picture|image)s?(?::| [-–]))\s+"
    rf"(?:(?:an?|the) (?P<closer>(?:(?:{VIEWS}|{_PRAISE}) ){{0,2}}"
    r"(?:close-?up|portrait|view|shot|(?:side )?profile)) of )?"
)
THERE = pattern(  # There is, In the middle of the image we see
    rf"(?:(?:(?:in|at|on) (?:this|the|that) (?:{_PLACE}|{_IMAGE}),? )?"
    r"(?:there (?:is|are|stands|sits)|there['’]s|we (?:can )?see|(?:you|one) can see|here (?:is|are)|here['’]s"
    r"|this is|these are|(?:pictured|shown|depicted) (?:here )?is|it shows))\s+"
)
IN_IMAGE = pattern(rf"(?:(?:in|at|on) (?:this|the|that) (?:{_PLACE}|{_IMAGE})(?: shown)?, )")
A_CLASS = (
    r"(?:(?:class|category|species|object class)[ :]+(?:of |named |called |label(?:ed|led)? )?[\"'“‘]?(?:an? |the )?)"
)
BREAK = (  # words that no run of adjectives has
    r"(?:an?|the|of|in|on|at|by|to|from|for|with|without|or|is|are|was|were|has|have|that|which|who|its|their|his|her"
    r"|near|next|beside|behind|under|over|above|into|like|as|not|no|it|they|class|showing|holding|wearing|riding"
    r"|playing|using|watching|eating|about|says?|called|named|against|between|through|during|while|toward|towards)"
)

# --- lines that are about the answer

REFUSAL = _whole(
    r"\bi(?:['’]m| am) (?:so |very |really |afraid i )?(?:sorry|can)|\bi apologi[sz]e|^sorry|^apologies|^unfortunately"
    r"|\bi (?:can(?:not|['’]t| not)|could(?:n['’]t| not)) (?!help but)|\bi(?:['’]m| am) (?:un|not )able to"
    r"|\bi do(?:n['’]t| not) (?:have|see|know|possess)|\bas an? (?:ai|artificial|large|language|text-based)"
    r"|\b(?:un|not )able to (?:see|view|identify|provide|describe|generate|process|access)"
    r"|\bcan(?:not|['’]t) be (?:identified|described|provided|determined|generated|displayed)"
    r"|\bno (?:image|photo) (?:was|has|is|attached|provided)|\b(?:image|photo) (?:was|is"
    r"|has) not (?:been )?(?:provided|attached)|\b(?:image|description) (?:cannot|can['’]t)"
    r"|\bdid(?:n['’]t| not) (?:provide|attach|upload|include)|\bwithout (?:seeing|viewing|access to)"
    r"|\bviolat\w+ (?:the |our |content )?\w* ?polic\w+|\bagainst (?:my|our|the) (?:guidelines|policy|programming)"
)
MAY_REFUSE = gate(
    "sorry apologize unfortunately i ai able unable cannot can no not didn without violates against language artificial"
    " large did text"
)
_NOUNS = (
    r"(?:descriptions?|examples?|sentences?|prompts?|captions?|variations?|templates?|lists?|instructions?|task|request"
    r"|responses?|answers?|output|format|versions?|bullet points?|options|sets?)"
)
TALK = _whole(
    r"sure|certainly|of course|absolutely|okay|ok|alright|all right|great[,!]|got it|understood|yes|no problem"
    r"|here(?:['’]s| is| are| you go| it is)|below (?:is|are|you)|the following"
    rf"|(?:each of these|(?:[a-z]+ty?[- ])?\w+) (?:\w+ ){{0,3}}?{_NOUNS}"
    r"|let me|let['’]s|let us|i hope|hope (?:this|these|that|it)|i['’](?:m|ve|ll|d)"
    r"|i (?:am|will|have|would|can|could|need|think|believe|should|want|used|tried|must|understand|notice|recall|might"
    r"|see)|we (?:need|should|have|want|must|are asked|could|will|are given)"
    r"|you (?:can|could|may|might|should|want|need|asked)|your|if you|would you|do you|does this|is there|are there"
    r"|please|notes?:|note that|note|n\.?b\.|feel free|thanks?|using (?:the )?template|based on|according to"
    r"|following (?:the )?template|as (?:requested|per|an example|for)|in (?:summary|conclusion|short|total|addition"
    r"|order to|general)|to (?:summarize|sum up|recap|enhance|make|refine|create|answer|ensure|describe)|overall"
    r"|finally|lastly|additionally|furthermore|moreover|however|remember|keep in mind|wait|hmm+|so,|so the|now,|now "
    r"|first,|second,|third,|next,|then,|also,|alternatively|actually,|maybe|perhaps|but (?:wait|the|i)|the user|user"
    r"|thinking|thought|reasoning|analysis|explanation|rationale|changes|key (?:changes|improvements)|end of|and so on"
    r"|etc|continued|same as|word count|this (?:captures|emphasi\w+|highlights?|ensures|should|will|one|way"
    r"|is (?:a|the|my) (?:refined|revised|list|descr\w+))|source|disclaimer|warning|remark|hint|conclusion|summary"
    r"|title|questions?|step \d|can you|could you|how about|what about|which|what|why|how|when|who|describing|listing"
    r"|generating|creating|providing|avoid|ensure|make sure|use|consider|imagine|generate|create|describe|write|list"
    r"|add|repeat|see also|for (?:example|instance)|examples? include|remaining|the rest|none"
    r"|no (?:new|more|further|other|additional|repetitive)|n/a|null|undefined|tbd|todo"
)
ABOUT_TEXT = _whole(
    r"\b(?:descriptions?|captions?|prompts?|templates?|placeholders?|sentences?|examples? of|let me know|feel free"
    r"|you(?:['’]d| would)? like|if you|do you|would you|please|as requested|i hope|hope this|the user"
    r"|your (?:needs|request|project)|text-to-image|language model|training data|data ?set|more variations|format"
    r"|mentioned above|above-mentioned|key features|distinctive features include"
    r"|(?:features|characteristics) of the class|representative of|unrelated|instructions?)"
)
OLD = _whole(  # the label of the description that Prompt 5 was asked about, where an answer repeats it
    r"\W*(?:the )?(?:original|old|previous|initial|current|given|before|input|existing|failed|description d\b"
    r"|unrefined)",
    end=r"\b(?! (?:features?|scenes?))",
)
LABEL = pattern(
    r"(?:[\w'’()#/&-]+ ){0,6}?[\w'’()#/-]+(?: \([^()]{0,40}\))?\s?[:=]\s*[\"'“‘*]{0,3}\s?"
    r"|(?:template|description|caption|example|option|answer|version|sentence) ?#?\d{0,3}\s?[-–—.]\s+"
)
PLAIN_LABEL = _whole(
    r"\W*(?:\w+ ){0,2}(?:descriptions?|captions?|answers?|sentences?|examples?|output|response)\b", end=""
)
FEATURES = _whole(
    r"\b(?:features?|characteristics?|traits?|attributes?|appearance|looks?|colou?rs?|plumage|markings?|body|shape"
    r"|texture|material|anatomy|details?)"
)
SCENES = _whole(
    r"\b(?:scenes?|settings?|backgrounds?|environments?|habitats?|locations?|contexts?|places?|poses?|actions?"
    r"|behaviou?rs?|lighting|weather|seasons?|times? of day|views?|angles?|perspectives?|surroundings|activit(?:y|ies))"
)
FRAGMENT = pattern(  # how features begin that stand without a name: with …, in …, standing …
    r"(?:with(?!out)|without|in|on|at|by|near|beside|next to|under|beneath|over|above|against|among|amongst|amid"
    r"|around|inside|outside|along|atop|behind|between|through|from|during|beyond|across|surrounded|perched|nestled"
    r"|seen|captured|covered|adorned|illuminated|lit|silhouetted|set|framed|bathed|mounted|placed|parked|half"
    r"|partially|partly|shown|viewed|photographed|dressed|filled|topped"
    r"|(?!spring|king|ring|wing|ceiling|building|clothing|painting|drawing|nothing|something|everything|evening|morning"
    r"|sling|string|bring|including|according|wedding|describing|listing|using|making|nesting|breeding|feeding|lighting"
    r"|setting|camping|fishing|hunting|gardening|[a-z]+ing (?:behaviou?r|conditions|habits|season|grounds?"
    r"|pattern))[a-z]+ing)\b(?! (?:behaviou?rs?|conditions|habits)\b)"
)
FACT = pattern(  # what is said of a kind of thing rather than of one in a picture, behind its name
    r"\s*(?:\([^()]*\)\s*)?,?\s*(?:is|are) (?:an?|the|one of|native|known|considered|often|usually|typically|commonly"
    r"|found|also|widely|not|classified|member|part of|very|important|popular|called|named)\b(?!\w)"
    r"|\s*(?:can|may|will|would|could|should|might|must|belongs?|lives?|eats?|feeds?|inhabits?|prefers?|was|were|do"
    r"|does|did|need|refers?|usually|often|typically|generally|commonly|images?|photos?|class(?:es)?)\b"
)
SIGHT = pattern(  # and what is of one in a picture all the same
    r"\s*can be seen\b|\s*(?:usually|typically|generally|often) (?:has|have)\b"
    r"|\s*is (?:an? |the )?(?:(?!that|which)[\w-]+ ){0,4}(?:with|standing|sitting|in)\b"
)
PARTS = (  # what of the class may be named in its place: "the crane's red crown", but not "the crane's nest"
    r"(?:plumage|feathers?|heads?|faces?|eyes?|body|bodies|wings?|beaks?|bills?|tails?|legs?|petals?|leaves|flowers?"
    r"|blooms?|fur|coat|shell|features?|patterns?|structure|design|surface|texture|silhouette|interior|exterior"
    r"|facade|skin|scales|fins?|neck|crest|crown|ears?|nose|snout|mouth|teeth|claws?|paws?|horns?|antlers?|stem|trunk"
    r"|bark|blossoms?|markings?|colou?rs?|spots?|stripes?|shape|handle|wheels?|keys|screen|profile|reflection|shadow)"
)
