from django.db import migrations, models

from django_app import MYSQL, table


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel("Author", [
            ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
            ("name", models.CharField(max_length=200, unique=True)),
            ("data", models.JSONField(null=True)),
            ("born", models.DateTimeField(null=True)),
            ("price", models.DecimalField(max_digits=10, decimal_places=2, default=0)),
            ("raw", models.BinaryField(null=True)),
            ("key", models.UUIDField(null=True)),
        ], options=dict(db_table=table("author"))),
        migrations.CreateModel("Book", [
            ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
            ("title", models.CharField(max_length=200) if MYSQL else models.TextField()),
            ("author", models.ForeignKey("django_app.Author", on_delete=models.CASCADE, related_name="books")),
        ], options=dict(db_table=table("book"))),
    ]
