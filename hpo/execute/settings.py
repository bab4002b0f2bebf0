"""What a study may use of the machine."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, field_validator

from hpo.settings import Settings


class ResourceSettings(Settings):
    """Workers and what each of them gets."""

    workers: int | None = Field(
        None, ge=1, description="how many; default: as many as the machine has room for"
    )
    cpus: int = Field(1, ge=1, description="CPUs, and so threads, of a worker")
    gpus: float = Field(0, ge=0, description="GPUs of a worker; 0.5 puts two workers on one GPU")
    pack: Literal["off", "auto"] | Annotated[int, Field(ge=1, le=65536)] = Field(
        "off",
        description="how many trials train together as one tensor program on a worker, where the"
        " trainable can do that: a number, or auto for what fits into memory and, where the sampler"
        " learns, for a quarter of all trials at most; on a CPU only where that is wide enough to"
        " pay",
    )
    isolate: bool = Field(
        False, description="a fresh process for every trial or pack; costs its start each time"
    )
    lease_seconds: float = Field(
        60,
        ge=1,
        description="a worker that gives no sign of life for so long is replaced, and its trial "
        "runs again from its checkpoint",
    )
    memory_limit: float = Field(
        0.95,
        gt=0,
        le=1,
        description="share of the machine's memory in use at which the trial with the largest "
        "worker ends as out of memory, before the kernel ends any process; 1 switches that off",
    )

    @field_validator("pack", mode="wrap")
    @classmethod
    def _in_one_message(cls, value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        try:
            return check(value)
        except ValidationError:
            raise ValueError("pack must be off, auto or a whole number from 1 to 65536") from None

    @property
    def heartbeat_seconds(self) -> float:
        """Between two signs of life of a worker."""
        return min(5.0, self.lease_seconds / 4)
