from django.db import models

from django_app import MYSQL, NAME, table


class Author(models.Model):
    name = models.CharField(max_length=300, unique=True)
    data = models.JSONField(null=True)
    born = models.DateTimeField(null=True)
    price = models.DecimalField(max_digits=10, decimal_places=2, default=0)
    raw = models.BinaryField(null=True)
    key = models.UUIDField(null=True)
    took = models.DurationField(null=True)

    class Meta:
        db_table = table("author")


class Book(models.Model):
    title = models.CharField(max_length=200) if MYSQL else models.TextField()  # MySQL has no index of a TEXT
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")

    class Meta:
        db_table = table("book")
        indexes = [models.Index(fields=["title", "author"], name=NAME + "title_ix")]
