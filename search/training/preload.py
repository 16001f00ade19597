"""What a fork server imports once for all that it forks: the framework, and how to train."""

from search.processes import loading_for_good

with loading_for_good():  # else each clear_session() takes as long as building a small network
    # Under JAX, too: Keras' seeding loads it, and every process would again if the server had not.
    import tensorflow  # noqa: F401

    from search.training import model_answers, trainer  # noqa: F401
