"""Counting text: Mistral's tekken vocabulary for the prompt, the targets' own for the answer."""
