"""The files in which a host keeps prompts, with what was pasted into them: one JSON value a line.

They move to the store and back as rows do: payload by payload, every other byte stays.
"""

from ocblob.prompts.offload import offload_prompts
from ocblob.prompts.report import PromptOffloadReport, PromptRestoreReport
from ocblob.prompts.restore import restore_prompts

__all__ = ["PromptOffloadReport", "PromptRestoreReport", "offload_prompts", "restore_prompts"]
