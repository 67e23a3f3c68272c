"""The rules that turn probabilities into answers: what they are fitted on and what they bring."""
