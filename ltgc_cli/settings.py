"""Every setting, once: its name, type, default, bounds, help and group.

A command's flags, the keys of ltgc.toml, the keywords of the Python API, the table that `--help` shows, what a
checkpoint keeps and the hash of an artifact all come from these structs. A new setting is one line here.
`config.py` reads and checks them.
"""

from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

import msgspec

from ltgc_cli.image_formats import MEGAPIXELS
from ltgc_cli.ports import ImageFormat


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings on one subject; GROUP is the heading that their flags stand under in --help."""

    GROUP: ClassVar[str] = "Options"


def about(
    help: str,
    *names: str,
    advanced: bool = False,
    hashed: bool = True,
    env: str = "",
    metavar: str = "",
    example: Any = None,
    must_exist: bool = False,
    offered: bool | None = None,
    number: bool = False,
    **bounds: Any,
) -> msgspec.Meta:
    """Returns what is known of a setting.

    names -- its flags, where they are not made of its name
    advanced -- shown by --help-all only
    hashed -- whether it changes a stage's output, and so is part of the artifact's hash
    env -- the LTGC_* variable that sets it
    example -- what one might write in ltgc.toml where the default is none
    must_exist -- whether the file or folder that it names must be there
    offered -- whether `ltgc init` writes it into ltgc.toml [where it is not advanced]
    number -- whether the text that it is may be a number: tail = 20
    bounds -- ge, gt, le, lt
    """
    extra = {"names": names, "advanced": advanced, "hashed": hashed, "env": env, "metavar": metavar}
    extra |= {"example": example, "must_exist": must_exist, "number": number}
    extra["offered"] = not advanced if offered is None else offered
    return msgspec.Meta(description=help, extra=extra, **bounds)


def more(help: str, *names: str, **known: Any) -> msgspec.Meta:
    """Returns what is known of a setting that few people change."""
    return about(help, *names, advanced=True, **known)


EMBEDDED = "embedded"
_MOST = 10_000  # of what numbers are multiplied with: far beyond all use, and far from where they overflow
# One setting is one row of a table.
# fmt: off

# ---- settings that several commands have

Tail = Annotated[str, about("Classes with fewer training images are tail classes (our default); few means 20.",
    number=True)]
Lmm = Annotated[str, about(
    "Vision-language model: any litellm model, replay:FILE, or embedded.", "--lmm", env="LTGC_LMM", metavar="MODEL")]
Llm = Annotated[str, about(
    "Language model: any litellm model (gpt-4o, ollama/llama3.1), replay:FILE, or embedded.",
    env="LTGC_LLM", metavar="MODEL")]
T2i = Annotated[str, about(
    "Text-to-image model: a diffusers id, folder or .safetensors file, litellm:MODEL for an image API, blank (for "
    "tests), replay:FILE, or embedded.", env="LTGC_T2I", metavar="MODEL")]
Clip = Annotated[str, about(
    "CLIP: an open_clip MODEL/PRETRAINED, MODEL=FILE, hf-hub:ID, local-dir:PATH, or embedded.",
    env="LTGC_CLIP", metavar="MODEL")]
K = Annotated[int, about(
    "Descriptions per tail class, K_y (paper: 100, 300 or 800); those of original images count, and all stay.",
    "-k", ge=1)]
Device = Annotated[str, more(
    "Where models run: cuda, cuda:1, mps or cpu [the best there is].",
    hashed=False, example="cuda", offered=True)] | None
ApiBase = Annotated[str, more(
    "Address of an OpenAI-compatible server (vLLM, …).",
    hashed=False, env="LTGC_API_BASE", metavar="URL", example="http://localhost:8000/v1", offered=True)] | None
ModelId = Annotated[str, more(
    "Your own name for the weights, where two servers give one name to different ones: answers are kept apart.",
    metavar="NAME")] | None
T2iApiBase = Annotated[str, more(
    "Address of the server that an image API (litellm:MODEL) is reached at [the provider's own].",
    hashed=False, env="LTGC_T2I_API_BASE", metavar="URL", example="http://localhost:8001/v1", offered=True)] | None
T2iConfig = Annotated[str, more(
    "Folder (or hub id) of a diffusers model with the configs of a --t2i FILE.safetensors [the hub's, by its "
    "weights].", hashed=False, metavar="FOLDER")] | None
Dtype = Annotated[Literal["float32", "float16", "bfloat16"], more(
    "Precision of the text-to-image model [bfloat16 on a GPU, float32 elsewhere].")] | None
Force = Annotated[bool, about(
    "Write over FILE though ltgc did not write it, or it was changed since.", hashed=False, offered=False)]
Json = Annotated[bool, about("Write JSON lines, not a table.", hashed=False, offered=False)]
Prompts = Annotated[Path, more(
    "TOML file whose texts replace any of the prompts: the paper's seven, and sense.", metavar="FILE")] | None
HalfPrice = Annotated[bool, more(
    "Ask through the provider's batch API: half the price, within a day.", "--batch", hashed=False, offered=True)]
ImageSize = Annotated[int, more(
    "Longest side that images are shown with (ours: one tile for models that charge by tiles).",
    ge=64, metavar="PIXELS", offered=True)]
Verdicts = Annotated[Path, about(
    "A person's verdicts on generated images (ltgc review); they go before scores.",
    metavar="FILE", example="verdicts.jsonl")] | None
Price = Annotated[str, more(
    "Price of a model that litellm does not know: US dollars per million tokens, in and out (or per "
    "image).", hashed=False, metavar="IN,OUT", example="2.5,10", offered=True, number=True)] | None
MaxCost = Annotated[float, about(
    "Stop (exit 4) before this run has cost more.",
    ge=0, hashed=False, env="LTGC_MAX_COST", metavar="DOLLARS", offered=False)] | None
RetryFailures = Annotated[bool, about(
    "Ask once more what got no answer of use before: refused, empty, unreadable.", hashed=False, offered=False)]
TestData = Annotated[str, about(
    "Test images [the test split of the data itself].", hashed=False, metavar="DATA", example="birds-test/")] | None
DropBroken = Annotated[bool, more(
    "Leave out files that are no image, or are not there, with their number, where otherwise nothing is done.",
    hashed=False, offered=True)]
DropDuplicates = Annotated[bool, more(
    "Leave out of the training what is a validation or test image too, and every copy of what is there under two "
    "labels; of copies under one label the first is kept.", hashed=False, offered=True)]
FollowLinks = Annotated[bool, more(
    "Read images that lie outside of the data's folder too: what links lead to, and what a list names by .. or from / "
    "on.", hashed=False, offered=True)]
Classes = Annotated[Path, about(
    "Class table: CSV or JSONL with label, name, and synonyms and sense if wanted; iNaturalist's "
    "categories.json; lines of `label name`, or of a name alone. It wins over the names in the data.",
    metavar="FILE", must_exist=True, example="classes.csv")] | None


class Data(Settings, frozen=True, kw_only=True):
    """Which images, where their paths start, and what their classes are called."""

    GROUP: ClassVar[str] = "The data"
    data: Annotated[str, about(
        "Images: a folder with one folder per class; a list (.txt: `path label` on each line; .csv, .jsonl:"
        " path, label, and class, split if wanted); iNaturalist's .json; Hugging Face's folders "
        "(save_to_disk, a snapshot of the hub, metadata.csv) and .parquet; digits-lt[:SEED[:IMBALANCE]].",
        "--data", "-d", metavar="DATA", example="birds/")] | None = None
    root: Annotated[Path, about(
        "Where the paths of a list start [its folder].",
        metavar="DIR", must_exist=True, example="images/")] | None = None
    classes: Classes = None
    image_column: Annotated[str, more(
        "Column of a table that has the images, or their paths [image, img, path, … where one of them is there].",
        metavar="NAME", example="image")] | None = None
    label_column: Annotated[str, more(
        "Column that has the labels: numbers, or names of classes [label, class, … where one of them is there].",
        metavar="NAME", example="fine_label")] | None = None
    follow_links: FollowLinks = False


class Describe(Settings, frozen=True, kw_only=True):
    """What describe looks at, and with which model."""

    GROUP: ClassVar[str] = "What to describe"
    tail: Tail = "100"
    lmm: Annotated[str, about(
        "Vision-language model: any litellm model, replay:FILE, or embedded.",
        "--lmm", "--llm", env="LTGC_LMM", metavar="MODEL")] = EMBEDDED
    senses: Annotated[Path, about(
        'TOML file that says which meaning a name has: seal = "marine mammal".',
        metavar="FILE", example="senses.toml")] | None = None
    disambiguate: Annotated[bool, about(
        "Ask which meaning is meant of names that may have several: one question per name, with its images.")] = False
    image_size: ImageSize = 512
    prompts: Prompts = None
    half_price: HalfPrice = False


class Extend(Settings, frozen=True, kw_only=True):
    """Which classes get how many more descriptions, by which model."""

    GROUP: ClassVar[str] = "What to write"
    class_: Annotated[tuple[str, ...], about(
        "Extend a class that is only named; stdin is not read. Repeatable.",
        "--class", "-c", metavar="NAME", offered=False)] = ()
    n: Annotated[int, about("New descriptions asked for per class.", "-n", ge=1)] = 20
    llm: Llm = EMBEDDED
    senses: Annotated[Path, about(
        'TOML file that says which meaning a name of --class has: seal = "marine mammal".',
        metavar="FILE", offered=False)] | None = None
    prompts: Prompts = None
    half_price: HalfPrice = False


class Reflect(Settings, frozen=True, kw_only=True):
    """How many descriptions a class gets, and when two say the same."""

    GROUP: ClassVar[str] = "What to write"
    k: K = 100
    rounds: Annotated[int, about(
        "Give a class up after so many rounds in a row that add nothing, or under a tenth of what they ask for (ours).",
        ge=1)] = 3
    near: Annotated[float, about(
        "Jaccard similarity of words from which a description repeats another (ours).", ge=0, le=1)] = 0.8
    llm: Llm = EMBEDDED
    prompts: Prompts = None


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]


class Asking(Settings, frozen=True, kw_only=True):
    """How language and vision models are asked."""

    GROUP: ClassVar[str] = "The model"
    concurrency: Annotated[int, more(
        "Questions asked at once.", hashed=False, env="LTGC_CONCURRENCY", ge=1, le=1024)] = 16
    max_tokens: Annotated[int, more(
        "Longest answer, in tokens; models that reason need more [2048].", ge=16)] | None = None
    reasoning_effort: Annotated[Effort, more(
        "How long a model that reasons thinks [as it does by itself].", example="low")] | None = None
    time_limit: Annotated[float, more(
        "Seconds that one question may take, all tries together; one try a fifth, or 120 if that is more.",
        hashed=False, ge=1, metavar="SECONDS")] = 600.0
    api_base: ApiBase = None
    model_id: ModelId = None


class Render(Settings, frozen=True, kw_only=True):
    """What render generates besides one image per description."""

    GROUP: ClassVar[str] = "The generated images"
    plain: Annotated[int, about(
        'Generate besides N images of each tail class from the bare "A photo of the class [y]", to look at '
        "beside the others; nothing else uses them.", ge=0, metavar="N")] = 0
    unadapted: Annotated[int, more(
        "Generate besides N images of each tail class, from its first descriptions, without the LoRA, to look at "
        "beside the others; nothing else uses them.", ge=1, metavar="N")] | None = None


class Style(Settings, frozen=True, kw_only=True):
    """How images are generated; None leaves it to the model's own default. Sizes in pixels."""

    GROUP: ClassVar[str] = "The generated images"
    width: Annotated[int, about("Width in pixels [the model's own].", ge=8, example=512)] | None = None
    height: Annotated[int, about("Height in pixels [the model's own].", ge=8, example=512)] | None = None
    steps: Annotated[int, about("Denoising steps [the model's own].", ge=1, example=20)] | None = None
    guidance: Annotated[float, more(
        "Classifier-free guidance [the model's own].", ge=0, example=7.5, offered=True)] | None = None
    negative: Annotated[str, more("What the images should not show.", offered=True)] = ""
    seed: Annotated[int, about("Another seed gives other images of the same descriptions.", ge=0)] = 0
    scheduler: Annotated[str, more(
        "Scheduler by its name in diffusers (EulerDiscreteScheduler) [the model's own].")] | None = None
    from_original: Annotated[float, more(
        "Start from an original image of the class, changing so much of it.",
        ge=0.01, le=1, metavar="STRENGTH")] | None = None
    format: Annotated[ImageFormat, more("What images are written as.")] = "png"


class TextToImage(Settings, frozen=True, kw_only=True):
    """Which text-to-image model, and how it is loaded."""

    GROUP: ClassVar[str] = "The model"
    t2i: T2i = EMBEDDED
    t2i_config: T2iConfig = None
    lora: Annotated[str, more(
        "LoRA of the text-to-image model: a file, a folder or an id of the hub [what ltgc adapt left in the stream]."
    )] | None = None
    lora_scale: Annotated[float, more("Strength of the LoRA [1].", ge=0, le=_MOST, metavar="NUMBER")] | None = None
    dtype: Dtype = None
    compile: Annotated[bool, more("Compile the model: slow to begin, faster over many images.", hashed=False)] = False
    attention_slicing: Annotated[bool, more(
        "Use less GPU memory, and more time, for each image.", hashed=False)] = False
    t2i_api_base: T2iApiBase = None
    t2i_model_id: ModelId = None


class Adapt(Settings, frozen=True, kw_only=True):
    """What the adapter of the text-to-image model is, what it learns from, and how long."""

    GROUP: ClassVar[str] = "The adapter"
    from_classes: Annotated[int, about(
        "Learn from the classes with at least so many training images: they teach the look, and the few images of a "
        "rare class are not learnt by heart (ours).", ge=1, metavar="IMAGES")] = 8
    steps: Annotated[int, about("Training steps (ours).", ge=1)] = 300
    rank: Annotated[int, about("Rank of the LoRA (ours).", ge=1)] = 8
    layers: Annotated[Literal["all", "attention"], more(
        "Which layers of the UNet or the transformer it is on: every linear and convolution, or attention (ours).",
    )] = "all"
    lr: Annotated[float, more("Learning rate [1e-3 for the embedded model, 1e-4 for others].", gt=0)] | None = None
    batch: Annotated[int, more("Images a step [32 for the embedded model, 4 for others].", ge=1)] | None = None
    bare: Annotated[float, more(
        "Share of the captions that are the class's name alone, not the image's description (ours).",
        ge=0, le=1)] = 0.4
    seed: Annotated[int, about("Seed of the batches, the noise and the new weights.", ge=0)] = 0
    gradient_checkpointing: Annotated[bool, more(
        "Compute activations again rather than keep them: less GPU memory, more time.", hashed=False)] = False
    adam_8bit: Annotated[bool, more(
        "Keep the optimiser's state in 8 bits: less GPU memory (pip install 'ltgc[adam8bit]').",
        "--adam-8bit")] = False


class AdaptedModel(Settings, frozen=True, kw_only=True):
    """Which text-to-image model is adapted, and how it is loaded."""

    GROUP: ClassVar[str] = "The model"
    t2i: T2i = EMBEDDED
    t2i_config: T2iConfig = None
    dtype: Dtype = None
    device: Device = None


class AdaptRun(Settings, frozen=True, kw_only=True):
    """Where the adapter goes."""

    GROUP: ClassVar[str] = "The run"
    out: Annotated[Path, about(
        "Copy the adapter, a LoRA that diffusers reads, to DIR.",
        hashed=False, metavar="DIR", example="adapter/")] | None = None
    dry_run: Annotated[bool, about(
        "Train nothing and keep nothing; say on how many images it would be, and how long it would take.",
        hashed=False, offered=False)] = False


class Computing(Settings, frozen=True, kw_only=True):
    """Where models run on this machine, and how much at once."""

    GROUP: ClassVar[str] = "The model"
    device: Device = None
    batch: Annotated[int, about("Images generated or scored at once.", hashed=False, ge=1)] = 32


class Workers(Settings, frozen=True, kw_only=True):
    """Who generates and scores: this process, or workers on several GPUs or machines."""

    GROUP: ClassVar[str] = "The workers"
    engine: Annotated[Literal["local", "ray"], about(
        "ray: generate and score by workers, on all GPUs of this machine or of a cluster (pip install 'ltgc[ray]').",
        hashed=False, env="LTGC_ENGINE")] = "local"
    workers: Annotated[int, more(
        "Workers of --engine ray [one for each GPU; where there are none, for each core].",
        hashed=False, ge=1, example=8, offered=True)] | None = None
    num_gpus: Annotated[float, more(
        "GPUs that a worker takes; 0.5: two share one [1 where there are any].",
        hashed=False, ge=0, le=1, metavar="NUMBER")] | None = None
    ray_address: Annotated[str, more(
        "The Ray cluster that this machine is part of: auto, or HOST:PORT of its head [Ray is started here, for "
        "this command].", hashed=False, env="LTGC_RAY_ADDRESS", metavar="ADDRESS", example="auto", offered=True,
    )] | None = None


Scale = Literal["calibrated", "cosine", "paper", "clipscore", "margin"]
Mode = Literal["refine", "exclude", "score"]
NeverPass = Literal["reject", "best"]

THRESHOLDS: dict[Scale, float] = {"calibrated": 10.0, "cosine": 0.3, "paper": 0.8, "clipscore": 0.75, "margin": 0.0}
"""The default --threshold of each scale. The paper's is 0.8 (0.6 for iNaturalist); the others are ours: 0.3 is
the same on the raw cosine, 0.75 on CLIPScore, 10 a percentile of the scores of the original images, and at a margin of
0 no other class is nearer."""

HIGHEST: dict[Scale, float] = {"cosine": 1.0, "paper": 1.5, "clipscore": 2.5, "calibrated": 100.0, "margin": 2.0}
"""The highest threshold that a scale can have."""


class Judging(Settings, frozen=True, kw_only=True):
    """How strict filter is, and what it does with what fails."""

    GROUP: ClassVar[str] = "The threshold"
    scale: Annotated[Scale, about(
        "Scale of the score (ours: calibrated, the threshold is what the class's original images reach; "
        "paper: cosine + 0.5; clipscore: 2.5 max(cosine, 0); margin, ours: the cosine less that with the nearest other "
        "class).")] = "calibrated"
    threshold: Annotated[float, about(
        "Threshold μ on the scale; for calibrated the percentile of the originals [10; 0.3; 0.8; 0.75; 0].",
        example=10.0)] | None = None
    mode: Annotated[Mode, about(
        "refine: rewrite and regenerate what fails; exclude: drop it; score: keep all (Table 4).")] = "refine"
    rounds: Annotated[int, about("Images per description, the first one included.", ge=1)] = 3
    never_pass: Annotated[NeverPass, more("What becomes of a description of which no image ever passes.")] = "reject"
    margin: Annotated[float, more(
        "Class margin: reject also what is not this much (raw cosine) closer to its own class than to the "
        "nearest other class (ours).", example=0.02, offered=True)] | None = None
    novelty: Annotated[float, more(
        "Reject copies: what is nearer to a real image of its class than this percentage of the real ones are to "
        "their nearest other (ours).", metavar="PERCENT", ge=0, le=100, example=1.0, offered=True)] | None = None

    @property
    def level(self) -> float:
        """The threshold in use: the scale's own default where none is set."""
        return THRESHOLDS[self.scale] if self.threshold is None else self.threshold


class Filter(Settings, frozen=True, kw_only=True):
    """What filter judges with."""

    GROUP: ClassVar[str] = "The model"
    verdicts: Verdicts = None
    preview: Annotated[bool, about(
        "Show scores, real against generated, and what each threshold would pass; regenerate nothing.",
        hashed=False, offered=False)] = False
    clip: Clip = EMBEDDED
    llm: Llm = EMBEDDED
    prompts: Prompts = None


class Limits(Settings, frozen=True, kw_only=True):
    """What a run may spend, in US dollars and questions."""

    GROUP: ClassVar[str] = "The cost"
    dry_run: Annotated[bool, about(
        "Ask nothing and keep nothing; say what would be asked, at what cost. One batch of images is "
        "generated to measure the time, where that is done on this machine.", hashed=False, offered=False)] = False
    retry_failures: RetryFailures = False
    max_cost: MaxCost = None
    max_calls: Annotated[int, more(
        "Stop (exit 4) before this run has asked more: questions, and images of an image API.",
        hashed=False, ge=0, offered=False)] | None = None
    price: Price = None


Mix = Literal["balancemix", "mixup", "cutmix", "none"]
Sampler = Literal["instance", "balanced", "sqrt"]
LossName = Literal["ce", "la", "balanced-softmax", "ldam", "focal", "lade"]
Head = Literal["cosine", "linear"]
HeadInit = Literal["name", "descriptions", "means", "random"]
Tune = Literal["lora", "adaptformer", "bias", "full", "head"]
Where = Literal["both", "attention", "mlp"]
Optimizer = Literal["adamw", "sgd"]
Precision = Literal["auto", "float32", "bfloat16"]
Chance = float | str
"""A number from 0 to 1, or FIRST:LAST: what it is at the first step and at the last, and linear in between."""
LogName = Literal["tensorboard", "wandb"]


class Training(Settings, frozen=True, kw_only=True):
    """Everything besides the data and the CLIP model that a checkpoint depends on. Kept with the checkpoint."""

    GROUP: ClassVar[str] = "The training"
    # ---- the stream of images
    mix: Annotated[Mix, about(
        "balancemix: a class-balanced original with a generated image; mixup, cutmix: any two; none (Table "
        "5) [balancemix where there are generated images].", example="balancemix")] | None = None
    sampler: Annotated[Sampler, more(
        "How classes are sampled: by their images, evenly, or by the square root [balanced under "
        "balancemix].", example="balanced", offered=True)] | None = None
    mix_alpha: Annotated[float, more("λ ~ Beta(alpha, alpha), one per pair (ours).", gt=0, le=_MOST)] = 1.0
    mix_prob: Annotated[float, more("Chance that an image is mixed with another at all (ours).", ge=0, le=1)] = 1.0
    syn_prob: Annotated[Chance, more(
        "Chance that an image is a generated one, but under balancemix [by their numbers]; 0.5:0 falls linearly from "
        "the first step to the last (ours).", metavar="CHANCE|FIRST:LAST")] | None = None
    syn_prior: Annotated[bool, more(
        "Adjust real and generated images each by the prior of their own part of the stream; not under balancemix "
        "(ours).")] = False
    syn_head: Annotated[bool, more(
        "Train a second head for generated images, which is dropped at the end; not under balancemix (ours).")] = False
    # ---- the loss, on soft labels
    loss: Annotated[LossName, about(
        "Cross-entropy, logit adjustment, balanced softmax, LDAM, focal or LADE, on soft labels (ours).")] = "ce"
    tau: Annotated[float, more("Strength of the logit adjustment.", ge=-_MOST, le=_MOST, offered=True)] = 1.0
    gamma: Annotated[float, more("Focusing of the focal loss.", ge=0, le=_MOST)] = 2.0
    margin: Annotated[float, more("Largest margin of LDAM, before the scale.", ge=0, le=_MOST)] = 0.5
    lade_weight: Annotated[float, more("Weight of LADE's regulariser beside its cross-entropy.", ge=0, le=_MOST)] = 0.1
    # ---- the classifier
    head: Annotated[Head, more("Kind of the head (ours).")] = "cosine"
    head_init: Annotated[HeadInit, more(
        "What the head starts from: text features of names or descriptions, class means, random (ours).",
        offered=True)] = "name"
    scale: Annotated[float, more("What the cosine head multiplies cosines with (ours).", gt=0, le=_MOST)] = 25.0
    tune: Annotated[Tune, about("What is tuned of the vision encoder.")] = "lora"
    tune_blocks: Annotated[int, more("Tune the last so many blocks alone; 0: all (ours).", ge=0)] = 0
    lora_on: Annotated[Where, more(
        "What of a block LoRA adapts: attention (q, k, v, out), MLP or both (ours).")] = "both"
    rank: Annotated[int, more(
        "Rank of LoRA, or width of AdaptFormer; 0: by the number of classes, as LIFT does (ours).",
        ge=0, offered=True)] = 8
    lora_alpha: Annotated[float, more("LoRA's update is scaled by lora-alpha / rank (ours).", gt=0, le=_MOST)] = 16.0
    dropout: Annotated[float, more("Dropout before LoRA, or inside AdaptFormer (ours).", ge=0, lt=1)] = 0.0
    # ---- the loop. lr and min_steps were chosen on digits-lt's validation set with a tiny CLIP.
    epochs: Annotated[float, about("Passes over the images, original and generated (ours).", ge=0)] = 10.0
    min_steps: Annotated[int, more(
        "Steps at the least: mixes take longer to learn than bare images, so small data wants more.",
        ge=0, offered=True)] = 400
    steps: Annotated[int, more("Steps, in place of epochs; 0: by epochs.", ge=0)] = 0
    batch: Annotated[int, more("Images a step, of all processes and parts together (ours).", ge=1)] = 64
    accumulate: Annotated[int, more(
        "Parts that a batch is cut into so that it fits the memory; trains the same.", ge=1)] = 1
    optimizer: Annotated[Optimizer, more("Optimiser (ours).")] = "adamw"
    lr: Annotated[float, more(
        "Learning rate: it rises, then falls as a cosine to 0 (ours).", gt=0, offered=True)] = 0.003
    warmup: Annotated[float, more("Share of the steps in which it rises (ours).", ge=0, le=1)] = 0.05
    weight_decay: Annotated[float, more("Weight decay of what is tuned of the tower (ours).", ge=0, le=_MOST)] = 0.01
    momentum: Annotated[float, more("Momentum of SGD.", ge=0, lt=1)] = 0.9
    clip_norm: Annotated[float, more("Largest norm of a gradient; 0: any (ours).", ge=0)] = 1.0
    ema: Annotated[float, more(
        "Keep a moving average of the weights with this decay, such as 0.99; 0: the weights (ours).",
        ge=0, lt=1)] = 0.0
    val_every: Annotated[int, more(
        "Keep the weights that do best on the validation images, measured every so many steps.", ge=0)] = 0
    # ---- the images
    crop: Annotated[float, more(
        "Smallest share of an image that a crop keeps; 1: no crop (ours).", gt=0, le=1, offered=True)] = 0.7
    rotate: Annotated[float, more("Largest turn of an image, in degrees (ours).", ge=0, le=180)] = 0.0
    flip: Annotated[bool, more("Mirror half of the images; never for writing.", offered=True)] = False
    harmonise: Annotated[bool, about(
        "Bring generated images to the amplitude spectrum and the colours of the real ones (ours).")] = False
    fixed_crops: Annotated[int, more(
        "Crops of an image whose features are kept: fast where few blocks are tuned; 0: new crops.", ge=0)] = 0
    seed: Annotated[int, more("Seed of batches, λ, crops, dropout and new weights.", ge=0, offered=True)] = 0


class TrainingRun(Settings, frozen=True, kw_only=True):
    """What is trained on besides the originals, how the training is carried out, and where the checkpoint goes."""

    GROUP: ClassVar[str] = "The run"
    val: Annotated[str, more(
        "Validation images, for --val-every [the data's own split].",
        metavar="DATA", example="birds-val/", offered=True)] | None = None
    test: Annotated[str, more(
        "Test images that training images are compared with [those of the data itself].",
        hashed=False, metavar="DATA", example="birds-test/")] | None = None
    drop_broken: DropBroken = False
    drop_duplicates: DropDuplicates = False
    generated: Annotated[bool, about(
        "Train on the generated images of the stream; without them it is a plain fine-tune.")] = True
    verdicts: Verdicts = None
    average: Annotated[tuple[str, ...], more(
        "Average the trained weights with those of this checkpoint: a folder, or the name of one in the stream; "
        "repeatable (ours).", metavar="DIR|NAME")] = ()
    name: Annotated[str, about("What tables call this run [named after its settings].")] = ""
    out: Annotated[Path, about(
        "Copy the checkpoint to DIR.", hashed=False, metavar="DIR", example="checkpoint/")] | None = None
    merge: Annotated[bool, more(
        "Write one file too that plain open_clip loads as a whole model.", hashed=False)] = False
    precision: Annotated[Precision, more(
        "Precision of the computing, over float32 weights [bfloat16 on a GPU that has it].")] = "auto"
    compile: Annotated[bool, more("Compile the model: slow to begin, faster over many steps.", hashed=False)] = False
    log: Annotated[LogName, more(
        "Write the training curve there too; wandb stays offline unless WANDB_MODE says otherwise.",
        hashed=False)] | None = None
    device: Device = None
    clip: Clip = EMBEDDED


class Evaluation(Settings, frozen=True, kw_only=True):
    """What is measured, and on what."""

    GROUP: ClassVar[str] = "What to measure"
    split: Annotated[Literal["test", "val"], more("Which part of a data set that has several.")] = "test"
    zero_shot: Annotated[bool, about("Measure CLIP itself, untrained, too.")] = False
    tte: Annotated[bool, about("Test-time ensembling, as LIFT does it: the mean logits of five crops.")] = False
    posthoc: Annotated[bool, about(
        "Measure each checkpoint once more with its logits adjusted by τ·log(prior), τ chosen on "
        "validation.")] = False
    val: Annotated[str, more(
        "Validation images for --posthoc [those of --data].", metavar="DATA", example="birds-val/")] | None = None
    drop_broken: DropBroken = False
    compare: Annotated[Literal["imagenet-lt", "places-lt", "inaturalist-2018"], about(
        "Set the published numbers of a benchmark beside these.", example="imagenet-lt")] | None = None
    # Not named as the flag: `lmm` at the top of ltgc.toml is describe's model, and nobody pays here unasked.
    direct: Annotated[str, about(
        "Ask a vision-language model which class each test image shows (Table 3): any litellm model, "
        "replay:FILE, or embedded. All names are listed where they fit (40,000 characters: ImageNet's do); "
        "of more classes the name is asked for openly. Names and synonyms count however they are written.",
        "--lmm", metavar="MODEL", example="gpt-4o", offered=False)] | None = None
    image_size: ImageSize = 512
    clip: Annotated[str, about(
        "CLIP that the checkpoints were trained on, and of --zero-shot [the checkpoints' own, else embedded].",
        env="LTGC_CLIP", metavar="MODEL", offered=False)] | None = None
    device: Device = None


class Storage(Settings, frozen=True, kw_only=True):
    """Where answers and images are kept, how large images may be, and how much is said."""

    GROUP: ClassVar[str] = "Input and output"
    cache_dir: Annotated[Path, more(
        "Where answers and images are kept [~/.ltgc].",
        hashed=False, env="LTGC_CACHE_DIR", metavar="DIR", example="~/.ltgc", offered=True)] | None = None
    max_pixels: Annotated[int, more(
        "Largest image that is read, in megapixels; a larger one is not decoded.",
        env="LTGC_MAX_PIXELS", ge=1, le=10_000, metavar="MEGAPIXELS", offered=True)] = MEGAPIXELS
    quiet: Annotated[bool, more(
        "Say nothing on stderr but errors.", "--quiet", "-q", hashed=False, offered=False)] = False

    @property
    def folder(self) -> Path:
        """The store's folder."""
        return self.cache_dir or Path("~/.ltgc").expanduser()


class Sharding(Settings, frozen=True, kw_only=True):
    """Which part of the classes a run does."""

    GROUP: ClassVar[str] = "Input and output"
    shard: Annotated[str, more(
        "Do a part of the classes, the 3rd of 16 say (3/16): what the 16 runs write, one behind the other, is what one "
        "run writes.", metavar="I/N", offered=False)] | None = None


class Recording(Settings, frozen=True, kw_only=True):
    """Where every answer is written besides."""

    GROUP: ClassVar[str] = "Input and output"
    record: Annotated[Path, more(
        "Add every answer to FILE, for `replay:FILE` to give again.",
        hashed=False, metavar="FILE", offered=False)] | None = None


class Input(Settings, frozen=True, kw_only=True):
    """Where records come from."""

    GROUP: ClassVar[str] = "Input and output"
    input: Annotated[Path, about(
        "Read records from FILE instead of stdin.",
        "--input", "-i", hashed=False, metavar="FILE", must_exist=True, offered=False)] | None = None


class Output(Settings, frozen=True, kw_only=True):
    """Where records go."""

    GROUP: ClassVar[str] = "Input and output"
    output: Annotated[Path, about(
        "Write records to FILE, which appears when it is complete.",
        "--output", "-o", hashed=False, metavar="FILE", offered=False)] | None = None
    force: Force = False
    json: Json = False


RunStage = Literal["describe", "extend", "reflect", "adapt", "render", "filter", "mix-train", "eval", "report"]


RecipeName = Literal["best", "ltgc"]


class Run(Settings, frozen=True, kw_only=True):
    """What `ltgc run` does as a whole."""

    recipe: Annotated[RecipeName, about(
        "ltgc: as the paper does; best: what did best on validation images, which also adapts the image model, and "
        "trains with logit adjustment, CutMix, and a share of generated images that falls to none (ours).")] = "best"
    first: Annotated[RunStage, about(
        "Begin here, with what the stage before has left in --out.",
        "--from", hashed=False, offered=False)] | None = None
    until: Annotated[RunStage, about("Stop after this stage.", hashed=False, offered=False)] | None = None
    out: Annotated[Path, about(
        "Where each stage's records go, as STAGE.jsonl, and the report.", metavar="DIR")] = Path("ltgc-run")
    test: TestData = None
    baselines: Annotated[bool, about(
        "Train three times more on the real images alone: by cross-entropy, with logit adjustment, and with CutMix "
        "besides.")] = True
    drop_broken: DropBroken = False
    drop_duplicates: DropDuplicates = False
    max_cost: Annotated[float, about(
        "Stop (exit 4) before all stages of this run together have cost more.",
        ge=0, env="LTGC_MAX_COST", metavar="DOLLARS", example=20.0)] | None = None
    retry_failures: RetryFailures = False
    dry_run: Annotated[bool, about(
        "Ask nothing; say what describe to filter would ask, at what cost.", offered=False)] = False


class Init(Settings, frozen=True, kw_only=True):
    """What `ltgc init` writes into ltgc.toml."""

    test: TestData = None
    tail: Tail = Describe().tail
    lmm: Lmm = EMBEDDED
    llm: Llm = EMBEDDED
    t2i: T2i = EMBEDDED
    clip: Clip = EMBEDDED
    k: K = Reflect().k
    api_base: ApiBase = None
    t2i_api_base: T2iApiBase = None
    price: Price = None
    max_cost: MaxCost = None
    output: Annotated[Path, about("The file that is written.", "--output", "-o", metavar="FILE")] = Path("ltgc.toml")
    force: Force = False


class Demo(Settings, frozen=True, kw_only=True):
    """What the demonstration runs on."""

    imbalance: Annotated[float, about(
        "Training images of the largest class for one of the smallest, which has 110 divided by it (27.5 was the first "
        "version's).", ge=1, le=110, metavar="FACTOR")] = 100.0
    seed: Annotated[int, about("Which class gets how many images, and the seed of the training.", ge=0)] = 0
    k: Annotated[int, about("Descriptions per tail class.", "-k", ge=1)] = 60
    out: Annotated[Path, about(
        "Where the report, the contact sheet and the records go.", metavar="DIR")] = Path("ltgc-demo")


class Report(Settings, frozen=True, kw_only=True):
    """What the report shows, and where it goes."""

    output: Annotated[Path, about(
        "The HTML file, which appears when it is complete.", "--output", "-o", metavar="FILE")] = Path("report.html")
    force: Force = False
    title: Annotated[str, about("What stands at the top [what the method is].", metavar="TEXT")] = ""
    class_: Annotated[tuple[str, ...], about(
        "Show this class alone, with all of its generated images; repeatable.", "--class", metavar="NAME")] = ()
    size: Annotated[float, about(
        "How large the file may be; it has fewer images if need be.", ge=1, metavar="MB")] = 64.0
    baseline: Annotated[str, about(
        "What gains are measured against [in each figure, the best method of the stream without generated images].",
        metavar="METHOD")] = ""


class Sheet(Settings, frozen=True, kw_only=True):
    """What the contact sheet shows, and where it goes."""

    output: Annotated[Path, about(
        "The PNG, which appears when it is complete.", "--output", "-o", metavar="FILE")] = Path("sheet.png")
    force: Force = False
    class_: Annotated[tuple[str, ...], about(
        "Show this class instead of the tail classes; repeatable.", "--class", metavar="NAME")] = ()


class Review(Settings, frozen=True, kw_only=True):
    """Where verdicts go, and how the page is served."""

    verdicts: Annotated[Path, about(
        "Where verdicts are added, each as it is made; those there are kept.",
        metavar="FILE")] = Path("verdicts.jsonl")
    port: Annotated[int, about("Port on this machine; 0: one that is free.", ge=0, le=65535)] = 0
    browser: Annotated[bool, about("Open the page in the browser.", "--open/--no-open")] = True


class Predict(Settings, frozen=True, kw_only=True):
    """Which checkpoint classifies, and how."""

    checkpoint: Annotated[Path, about(
        "What mix-train --out wrote, or a folder of the store's checkpoints.", metavar="DIR")] | None = None
    top: Annotated[int, about("How many classes are named for each image.", ge=1)] = 5
    tte: Annotated[bool, about("Test-time ensembling, as LIFT does it: the mean logits of five crops.")] = False
    follow_links: FollowLinks = False
    clip: Annotated[str, about(
        "The CLIP that it was trained on [the checkpoint's].", env="LTGC_CLIP", metavar="MODEL")] | None = None
    device: Device = None


class Export(Settings, frozen=True, kw_only=True):
    """Where images are written, which of them, and in which layout."""

    out: Annotated[Path, about("A new folder for the images and the class table.", metavar="DIR")] | None = None
    format: Annotated[Literal["imagefolder", "list", "metadata"], about(
        "imagefolder: a folder for each label, empty ones too; list: `path label` lines; metadata: Hugging "
        "Face's metadata.jsonl.")] = "imagefolder"
    with_originals: Annotated[bool, about(
        "The original images too: all training images of --data, or else those that the stream has.")] = False
    harmonise: Annotated[bool, about(
        "Bring generated images to the amplitude spectrum and the colours of the original ones: all training images of "
        "--data, or else those that the stream has.")] = False


class Cost(Settings, frozen=True, kw_only=True):
    """What costs are summed by."""

    by: Annotated[tuple[Literal["stage", "model", "class"], ...], about(
        "What to sum by; repeatable [stage and model].", metavar="stage|model|class")] = ()


class Doctor(Settings, frozen=True, kw_only=True):
    """Which models are looked at, and whether they are asked."""

    lmm: Lmm = EMBEDDED
    llm: Llm = EMBEDDED
    t2i: T2i = EMBEDDED
    clip: Clip = EMBEDDED
    ask: Annotated[bool, about(
        "Ask each language model for one token, and connect to --api-base. Costs next to 0.")] = False
    api_base: ApiBase = None
    t2i_api_base: T2iApiBase = None
    json: Json = False


class Choice(Settings, frozen=True, kw_only=True):
    """Which of the store's answers and artifacts are meant."""

    GROUP: ClassVar[str] = "Which ones"
    stage: Annotated[Literal["describe", "extend", "reflect", "adapt", "render", "filter", "mix-train", "eval"], about(
        "Only what this stage asked for, or made.")] | None = None
    model: Annotated[str, about(
        "Only the answers of this model, whatever follows an @ or # in its name.", metavar="MODEL")] | None = None
    class_: Annotated[str, about("Only the answers that name this class, in any case.", metavar="NAME")] | None = None
    older_than: Annotated[float, about("Only what is at least so old.", ge=0, metavar="DAYS")] | None = None


class CacheShow(Settings, frozen=True, kw_only=True):
    """What is shown of the store."""

    artifacts: Annotated[bool, about("List the outputs of stages, not answers.")] = False
    children: Annotated[bool, about("Show what was made from a record as well.")] = False


class CachePrune(Settings, frozen=True, kw_only=True):
    """What is deleted from the store."""

    answers: Annotated[bool, about("Delete answers: what is meant where nothing else of this kind is named.")] = False
    artifacts: Annotated[bool, about("Delete the outputs of stages.")] = False
    checkpoints: Annotated[bool, about(
        "Delete trained models, and the outputs of mix-train and adapt that name them.")] = False
    unused: Annotated[bool, about("Delete images, older than a day, that no answer and no artifact names.")] = False
    damaged: Annotated[bool, about("Delete what `ltgc cache verify` finds damaged.")] = False
    dry_run: Annotated[bool, about("Say what would be deleted, and delete nothing.")] = False
    yes: Annotated[bool, about("Do not ask.", "--yes", "-y")] = False


class CacheExport(Settings, frozen=True, kw_only=True):
    """Which answers are shared."""

    artifact: Annotated[Path, about(
        "Only answers on the classes and images of these records.",
        metavar="FILE.jsonl", must_exist=True)] | None = None


class JsonLines(Settings, frozen=True, kw_only=True):
    """How it is written."""

    GROUP: ClassVar[str] = "Input and output"
    json: Json = False


COMMANDS: dict[str, tuple[type[Settings], ...]] = {
    "demo": (Demo, Storage),
    "init": (Data, Init, Storage),
    "run": (Run, Storage),
    "describe": (Data, Describe, Asking, Limits, Input, Sharding, Output, Recording, Storage),
    "extend": (Extend, Asking, Limits, Input, Sharding, Output, Recording, Storage),
    "reflect": (Reflect, Asking, Limits, Input, Sharding, Output, Recording, Storage),
    "adapt": (Data, Adapt, AdaptedModel, AdaptRun, Input, Output, Storage),
    "render": (TextToImage, Render, Style, Computing, Workers, Limits, Input, Sharding, Output, Recording, Storage),
    "filter": (
        Judging, Filter, Asking, TextToImage, Style, Computing, Workers, Limits, Input, Sharding, Output, Recording,
        Storage,
    ),
    "mix-train": (Data, Training, TrainingRun, Input, Output, Storage),
    "eval": (Data, Evaluation, Asking, Limits, Input, Output, Recording, Storage),
    "report": (Input, Report, Storage),
    "sheet": (Input, Sheet, Storage),
    "review": (Input, Review, Storage),
    "predict": (Predict, Output, Storage),
    "export": (Data, Export, Input, Storage),
    "cost": (Cost, Input, Output, Storage),
    "cache": (Storage,),
    "cache info": (JsonLines, Storage),
    "cache show": (CacheShow, Choice, JsonLines, Storage),
    "cache verify": (JsonLines, Storage),
    "cache prune": (CachePrune, Choice, Storage),
    "cache export": (CacheExport, Choice, Storage),
    "doctor": (Doctor, Storage),
}
"""Each command's settings. `cache` has here what all of its commands have, and what ltgc.toml can say for them."""
# fmt: on


class Setting(msgspec.Struct, frozen=True):
    """One setting of a command."""

    name: str
    kind: type[Settings]
    type: Any
    default: Any
    meta: msgspec.Meta

    @property
    def flags(self) -> tuple[str, ...]:
        """Its flags: ("--class", "-c")."""
        return tuple(self.known("names")) or (f"--{self.name.strip('_').replace('_', '-')}",)

    @property
    def flag(self) -> str:
        """Its longest flag: "--class"."""
        return max((flag.partition("/")[0] for flag in self.flags), key=len)

    @property
    def base(self) -> Any:
        """Its type without `Annotated` and `None`: `int`, `Path`, `tuple[str, ...]`, a `Literal`."""
        options = [one for one in get_args(self.type) if one is not NoneType] if _is_union(self.type) else [self.type]
        found = options[0]
        return get_args(found)[0] if hasattr(found, "__metadata__") else found

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that it can be; none where it can be anything of its type."""
        base = get_args(self.base)[0] if get_origin(self.base) is tuple else self.base
        return get_args(base) if get_origin(base) is Literal else ()

    @property
    def help(self) -> str:
        return self.meta.description or ""

    def known(self, name: str) -> Any:
        """Returns what `about` was told."""
        return (self.meta.extra or {})[name]


@cache  # msgspec reads the annotations anew at each call, and a start asks for those of all commands
def settings_of(kind: type[Settings]) -> list[Setting]:
    """Returns the settings of a struct, in order."""
    return [
        Setting(field.name, kind, field.type, field.default, _meta(field.type))
        for field in msgspec.structs.fields(kind)
    ]


def _is_union(annotated: Any) -> bool:
    return get_origin(annotated) in (Union, UnionType)


def _meta(annotated: Any) -> msgspec.Meta:
    """Returns what `about` said of a type: of `Annotated[int, about(…)] | None`, say."""
    for one in (annotated, *getattr(annotated, "__args__", ())):
        for meta in getattr(one, "__metadata__", ()):
            return meta
    raise TypeError(f"{annotated} has no about(…)")
