"""The owned engine on a GPU: ``make test-gpu``, for whoever has one."""
