"""Networks: one module per family, each a builder `build(params, *, input_shape, n_classes) ->
keras.Model`.

Builders return uncompiled models, read their params with `.get(name, default)` where the default is
the document's value, and use `keras` only, so that every Keras backend can run them. Nothing is
imported here: a builder is found through `search.registry`.
"""
