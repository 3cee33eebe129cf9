"""Studies without units: times, levels and amounts over the study's own sizes."""

from dataclasses import replace

from latentpk.inference.initial import Scales, measure
from latentpk.models.config import EncoderConfig, ModelConfig, NeuralOdeConfig
from latentpk.models.record import stack_records
from latentpk.records.subject import Cohort, Subject

SHORTEST = 0.04  # first steps after an event, of the typical time


def scales_of(cohort: Cohort) -> Scales:
    """Sizes of a study that everything is measured in."""
    return measure(stack_records(cohort.subjects, tight=True))


def scale_free(subject: Subject, scales: Scales) -> Subject:
    """The same subject with times over the study's, levels and amounts likewise."""
    doses, levels = subject.doses, subject.levels
    given = replace(
        doses,
        time=doses.time / scales.time,
        amount=doses.amount / scales.dose,
        rate=doses.rate * scales.time / scales.dose,
        duration=doses.duration / scales.time,
        interval=doses.interval / scales.time,
        until=doses.until / scales.time,
    )
    drawn = replace(
        levels,
        time=levels.time / scales.time,
        value=levels.value / scales.level,
        lloq=levels.lloq / scales.level,
    )
    changed = subject.covariate_time / scales.time
    return replace(subject, doses=given, levels=drawn, covariate_time=changed)


def config_at(config: ModelConfig, scales: Scales) -> ModelConfig:
    """The general configuration at a study's sizes."""
    decoder, encoder = config.decoder, config.encoder
    assert isinstance(decoder, NeuralOdeConfig)  # noqa: S101 - the general decoder is a field
    sized = {"time_scale": scales.time, "level_scale": scales.level}
    return config.model_copy(
        update={
            "decoder": decoder.model_copy(update=sized | {"shortest": SHORTEST * scales.time}),
            "encoder": EncoderConfig(hidden=encoder.hidden, **sized, dose_scale=scales.dose),
            "floor": 1e-3 * scales.level,
        }
    )
