"""Tells a description of a thing from one of a school class, which models write where they take "class" for one."""

from __future__ import annotations

from ltgc_cli.answers import phrases as p

_LEARNING = (
    r"students|learners|teachers?|professors?|lecturers?|school ?(?:children|kids|boys|girls)"
    r"|pupils (?:in|at|with|sitting|listening|gathered|engaged|learning|raising|wearing|studying)"
)
_LEARNERS = (
    rf"(?:{_LEARNING}|instructors?|trainees|apprentices|class ?mates|participants|\w+[ -]graders|graduates|seniors"
    r"|peers|(?:each|every) member|(?:group|members) of (?:the|a|this) class)(?![\w'’])"
)
_FIRST = p.pattern(
    # with a diverse group of students, all teachers and their pupils
    r"(?:with |featuring |showing )?(?:(?!(?:in|on|at|by|near|under|for|from|to|like|is|are|holding|reading)\b)"
    rf"[\w'’-]+,? ){{0,6}}?{_LEARNERS}"
)
_CLASS_DOES = p.pattern(  # the class is spoken of as people, whatever its name is
    r"\b(?:my|our) class\b|\bclass (?:photo|picture|portrait|members?|trip|session|reunion|discussion|president)\b"
    r"|\b(?:the|a|this|their|our|another) (?:\w+ ){0,2}class (?:is|are|was|were|has|have|poses?|posing|gather\w*|sit\w*"
    r"|stand\w*|smil\w*|learn\w*|listen\w*|attend\w*|in session|together|looks?|watch\w*|work\w*|enjoy\w*|on a|full"
    r"|participat\w*)\b"
    r"|\b(?:members|students|pupils|teacher|rest) of (?:the|a|this) class\b|\b(?:whole|entire) class\b|\byearbook\b"
)
_PUPILS_DO = p.pattern(
    r"\bclass ?mates?\b|\bclass of (?:19|20)\d\d|\bfield trips?\b|\bgroup (?:projects?|photo|discussions?)\b"
    r"|\btaught by\b|\bin session\b|\brecess\b|\bgraduation day\b|\bhands raised\b"
    r"|\btak\w+ notes\b|\brais\w+ (?:\w+ )?hands?\b|\b(?:first|last) day of school\b|\bback to school\b"
    r"|\blearning (?:about|how|to)\b|\blunch together\b"
    r"|\btheir (?:\w+ )?(?:teachers?|instructors?|professors?|lessons?|peers|class|assignments?|homework|studies)\b"
)
_ONLY_PEOPLE = p.pattern(
    r"(?:learning|studying|paying attention|celebrating|having fun|discussing|collaborating|participating|attending"
    r"|rehearsing|brainstorming|laughing|chatting|engaged in|eager to|excited|working (?:on|together|hard))\b"
)
_MAYBE_PEOPLE = p.pattern(  # how what is said of people begins; it may be said of an animal or a thing too
    r"(?:(?:with|featuring|showing) )?(?:(?:an?|the|some|\w+ing|diverse|large|small|young|happy|whole) ){0,3}"
    r"(?:group of|team|crowd|people|adults|children|kids|boys|girls|friends|parents|teens|teenagers|men|women)\b"
    r"|(?:smiling|posing|gathered|(?:sitting|seated) (?:in (?:rows|an? circle)|together|cross-legged)|lined up"
    r"|dressed|doing|enjoying|practi[cs]ing|preparing|performing|eating|wearing)\b"
)
_AT_SCHOOL = p.pattern(
    r"(?:in|at|inside|during) (?:an? |the |their )?(?:[\w'’-]+ ){0,2}?"
    r"(?:class ?rooms?|school(?! of)|lectures?|lessons?|university|college|campus)\b"
)
_ANYWHERE = p.pattern(rf"\b(?:{_LEARNING})\b(?!['’])")
_SCHOOL_WORD = (
    r"(?:student|class ?rooms?|school(?:s|yard|house)?(?! of)|universit\w+|colleges?|campus|lectures?|lessons?|learning"
    r"|education\w*|instructors?|graduat\w+|whiteboards?|blackboards?|chalkboards?|desks|textbooks|backpacks|academic"
    r"|seminar|homework|studying|pupils|children|kids|peers|teamwork|brainstorm\w*|presentations?|workshops?"
    r"|auditorium|cafeteria|assembly|uniforms|rehears\w+|discussions?|experiments?)(?!['’]s)"
)
_SCHOOLING = p.pattern(
    rf"\b{_SCHOOL_WORD}(?:[ -]{_SCHOOL_WORD})*\b"
)  # words of school; several in a row ("a school auditorium") are one thing
_IN_HANDS = p.pattern(  # what somebody does with a thing: it is then no class
    r"\b(?:worn|used|held|carried|played|owned|drawn|made|built|eaten|ridden|driven|operated|opened|examined) by .*"
)
MAY_TEACH = p.gate(
    "class classmate classroom yearbook students learners teacher professor school pupils lecturer university college"
    " campus lesson learning education instructor graduation graders whiteboard blackboard chalkboard desks textbooks"
    " backpacks academic seminar homework studying children kids group peers field teamwork brainstorm presentation"
    " workshop auditorium cafeteria assembly uniforms rehearse discussion raise raising taught taking notes paying"
    " attention celebrating having fun collaborating participating attending laughing chatting engaged eager excited"
    " working session recess experiment trainees apprentices seniors member lunch studies assignment raised"
)

# --- the names that make a school class part of the image

_WITH_PUPILS = p.pattern(
    # places, vehicles and clothes that have pupils in them, and people, who may be pupils
    r"\b(?:school|class|lectur|student|teach|academ|librar|campus|gown|universit|colleg|kinder|auditor|\blab|gym|play"
    r"|educat|nursery|cafeteria|scientist|uniform|mortar|theat|dorm|museum|gallery|studio|indoor|outdoor)|(?:room"
    r"|shop|store|house|hall|station|cent(?:er|re)|park|street|court|field|office|arena|church|temple|yard|plaza"
    r"|parlou?r|stadium|building|garden|zoo|aquarium|farm|pool|stage|restaurant|bar|market|dinette|patio|site|area"
    r"|bridge|beach|forest|mountain|lake|\briver|valley|airport|hotel|hospital|bakery|cafe|kitchen|palace|castle"
    r"|tower|harbor|factory|village|alley|lobby|corridor|terrace|balcony|ground|bus|car|train|trolley|boat|van|rink"
    r"|person|people|bab(?:y|ies)|child(?:ren)?|\bm[ae]n|\bwom[ae]n|boys?|girls?|kids?)s?\b"
)
_BESIDE_PUPILS = p.pattern(
    # things that lie about in a classroom
    r"board|desk|pencil|\bpens?\b|\bbook|book\b|ruler|projector|globe|pack\b|eraser|binder|abacus|chair|easel|crayon"
    r"|locker|laptop|computer|microscope|telescope|calculator|slide.?rule|chalk|notepad|satchel|bag\b"
)


def of_a_class(text: str, name: str) -> bool:
    """Returns whether what is said of the class `name` is said of a school class.

    A thing may stand in a classroom, and be used by a pupil; pupils alone, or twice the school, are another matter.

    >>> of_a_class("with a cracked screen, in a classroom", "television"), of_a_class("with students", "television")
    (False, True)
    """
    if _CLASS_DOES.search(text):
        return True
    place = name.replace("_", " ").replace("/", " ")
    if _WITH_PUPILS.search(place):
        return False
    text = _IN_HANDS.sub("", text)
    if _FIRST.match(text) or _ONLY_PEOPLE.match(text) or _PUPILS_DO.search(text):
        return True
    people = _MAYBE_PEOPLE.match(text)
    schooling = {word.lower() for word in _SCHOOLING.findall(text, people.end() if people else 0)}
    if _BESIDE_PUPILS.search(place):
        return bool(people and schooling)
    return bool(_ANYWHERE.search(text) or _AT_SCHOOL.match(text)) or len(schooling) > (0 if people else 1)
