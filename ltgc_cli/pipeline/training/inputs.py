"""What mix-train trains on besides the original images. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from ltgc_cli import prompts
from ltgc_cli.learn.datasets import ClassInfo
from ltgc_cli.pipeline.class_table import agreed
from ltgc_cli.records import Class, Description, Group, Image
from ltgc_cli.stages.verdicts import Verdicts, accepted


@dataclass
class TrainingInputs:
    """What the lines of a stream say to the training, gathered class by class."""

    table: dict[int, ClassInfo]
    """The data's class table by label, with the senses that the stream knows."""
    generated: list[Image] = field(default_factory=list)
    texts: dict[int, list[str]] = field(default_factory=dict)
    """The descriptions of each label, where the head starts from them."""
    stream: list[Class] = field(default_factory=list)
    """The class records of the stream."""

    @property
    def classes(self) -> list[ClassInfo]:
        return list(self.table.values())

    def add(self, group: Group, verdicts: Verdicts, *, texts: bool) -> None:
        """Adds the lines of one class. Raises InputError where its label is another class in the data.

        texts -- whether the head starts from descriptions
        """
        cls = group.cls
        self.generated += accepted(group, verdicts)
        if cls.label < 0:
            return
        self.table[cls.label] = agreed(self.table, cls)
        self.stream.append(cls)
        found = [row.text for row in group.rows if isinstance(row, Description)] if texts else []
        if found:
            # As an image generator gets them: CLIP, too, takes "the class" for a school class.
            self.texts[cls.label] = [prompts.image_prompt(text, cls.class_, cls.subject) for text in found]
